import { Client } from 'pg';

const MARK = /^\/\* prepared as (\w+) \*\/ /;

/**
 * SQL that each connection prepares once, under a name of its own: for what every batch does. Parsing and planning a
 * statement of three times fifty columns takes Postgres longer than running it for a few events. Only for statements whose
 * plan does not depend on what is in the tables: an insert, not a search.
 */
export function preparedAs(name: string, text: string): string {
  return `/* prepared as ${name} */ ${text}`;
}

type Query = (first: unknown, ...rest: unknown[]) => unknown;

/** A connection that obeys `preparedAs`, of which kysely knows nothing. */
export class PreparingClient extends Client {
  constructor(...args: ConstructorParameters<typeof Client>) {
    super(...args);
    const query = this.query.bind(this) as Query;
    const prepared: Query = (first, ...rest) => {
      const name = typeof first === 'string' ? MARK.exec(first)?.[1] : undefined;
      if (name === undefined) return query(first, ...rest);
      const [values, ...more] = rest;
      return query({ name, text: first, values }, ...more);
    };
    this.query = prepared as Client['query'];
  }
}
