import { sql } from 'kysely';
import { DatabaseError } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { TestDatabase } from '../../../test/support/fresh.ts';
import { freshDatabase } from '../../../test/support/fresh.ts';
import { preparedAs } from './prepared.ts';
import { isAway, isFaultOfData, openDatabase, reasonOf } from './database.ts';
import type { Database } from './schema.ts';

const log = createLog('silent', 'test');
let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase({ url: database.url, log });
});

afterAll(async () => {
  await db.destroy();
  await database.drop();
});

test('int8 and numeric are bigint, exactly', async () => {
  const query = sql<object>`select 9007199254740993::int8 as int8, 123456789012345678901234567890::numeric as numeric`;
  const { rows } = await query.execute(db);
  expect(rows).toEqual([{ int8: 9_007_199_254_740_993n, numeric: 123_456_789_012_345_678_901_234_567_890n }]);
});

test('a marked statement is prepared once on each connection, and any other never', async () => {
  const marked = sql.raw<{ two: number }>(preparedAs('add', 'select 1 + 1 as two'));
  await db.connection().execute(async (holder) => {
    for (let i = 0; i < 2; i++) expect((await marked.execute(holder)).rows).toEqual([{ two: 2 }]);
    const added = sql`${sql.raw(preparedAs('add_to', 'select 1 + '))}${41}::int as sum`;
    for (let i = 0; i < 2; i++) expect((await added.execute(holder)).rows).toEqual([{ sum: 42 }]);
    const { rows } = await sql<{ name: string }>`select name from pg_prepared_statements order by name`.execute(holder);
    expect(rows).toEqual([{ name: 'add' }, { name: 'add_to' }]);
  });
});

test('a connection that ends between two queries of its holder costs the holder, not the process', async () => {
  const holding = db.connection().execute(async (holder) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(holder);
    await sql`select pg_terminate_backend(${rows[0]?.pid}, 5000)`.execute(db);
    // What the server said last is read in a later turn than the answer above.
    await new Promise((resolve) => setImmediate(resolve));
    await sql`select 1`.execute(holder);
  });
  await expect(holding).rejects.toThrow();
  expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
});

test('a statement that takes too long is ended', async () => {
  const hasty = openDatabase({ url: database.url, log, statementTimeoutMs: 100 });
  const failure = await sql`select pg_sleep(10)`.execute(hasty).catch((failure: unknown) => failure);
  expect(reasonOf(failure)).toBe('SQLSTATE 57014');
  await hasty.destroy();
});

const sqlState = (code: string): DatabaseError => Object.assign(new DatabaseError('', 0, 'error'), { code });

test.each([
  { failure: sqlState('22003'), data: true, away: false },
  { failure: sqlState('23514'), data: true, away: false },
  { failure: sqlState('42P01'), data: false, away: false },
  { failure: sqlState('53300'), data: false, away: true },
  { failure: sqlState('57P03'), data: false, away: true },
  { failure: sqlState('28P01'), data: false, away: false },
  { failure: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), data: false, away: true },
  { failure: new Error('Connection terminated unexpectedly'), data: false, away: true },
  { failure: new TypeError('a bug of ours'), data: false, away: false },
])('$failure: data at fault $data, Postgres away $away', ({ failure, data, away }) => {
  expect(isFaultOfData(failure)).toBe(data);
  expect(isAway(failure)).toBe(away);
});
