import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import { GatewayError } from '../../shared/errors.ts';
import type { Database, Tables } from './database/schema.ts';

/** How long an answer is kept for whoever asks again. */
export const KEPT_HOURS = 24;
/** First of the two numbers of an advisory lock; the second is a hash of whose key it is. */
const IDEMPOTENCY_LOCK = 7_583_011;

/** A request that may come again: `hash` is of all that it says. */
export interface Repeatable {
  readonly actor: string;
  /** The `Idempotency-Key`. */
  readonly key: string;
  readonly hash: string;
}

export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, without what may be shown once only. */
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * What was answered to this request before; undefined: nothing. Within the transaction of the change, which waits here
 * while another with the same key is under way.
 * @throws GatewayError(`conflict`) the key came with another request
 */
export async function findAnswer(
  transaction: Transaction<Tables>,
  { actor, key, hash }: Repeatable,
): Promise<KeptAnswer | undefined> {
  const lock = sql`hashtext(${`${actor} ${key}`})`;
  await sql`select pg_advisory_xact_lock(${IDEMPOTENCY_LOCK}, ${lock})`.execute(transaction);
  const found = await transaction
    .selectFrom('idempotent_answers')
    .selectAll()
    .where('actor', '=', actor)
    .where('key', '=', key)
    .where('answered_at', '>', expiry())
    .executeTakeFirst();
  if (found === undefined) return undefined;
  if (found.request_hash !== hash)
    throw new GatewayError('conflict', 'This Idempotency-Key came with another request before. Choose another key.', {
      param: 'idempotency-key',
    });
  return { status: found.status, headers: found.headers, body: (found.body ?? {}) as Record<string, unknown> };
}

/** Keeps an answer, in the change's own transaction. */
export async function keepAnswer(
  transaction: Transaction<Tables>,
  { actor, key, hash }: Repeatable,
  { status, headers, body }: KeptAnswer,
): Promise<void> {
  const row = {
    request_hash: hash,
    status,
    headers: JSON.stringify(headers),
    body: JSON.stringify(body),
    answered_at: sql<Date>`now()`,
  };
  await transaction
    .insertInto('idempotent_answers')
    .values({ actor, key, ...row })
    // One that has expired and is still there.
    .onConflict((conflict) => conflict.columns(['actor', 'key']).doUpdateSet(row))
    .execute();
}

/** Deletes what has expired; returns how many there were. */
export async function forgetAnswers(db: Database): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('idempotent_answers')
    .where('answered_at', '<=', expiry())
    .executeTakeFirst();
  return Number(numDeletedRows);
}

function expiry(): ReturnType<typeof sql<Date>> {
  return sql<Date>`now() - make_interval(hours => ${KEPT_HOURS})`;
}
