import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { TestDatabase } from '../../../test/support/fresh.ts';
import { freshDatabase } from '../../../test/support/fresh.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { firstIdOf, listPartitions, makePartitions } from './partitions.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from './schema.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { reportUsage } from '../usage/usage-report.ts';

const log = createLog('silent', 'test');
let database: TestDatabase;
let db: Database;

beforeEach(async () => {
  database = await freshDatabase();
  db = openDatabase({ url: database.url, log });
});

afterEach(async () => {
  await db.destroy();
  await database.drop();
});

function monthFromNow(months: number): Date {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months));
}

/** As a request of this time has it. */
function idAt(at: Date, attempt = 1): string {
  return `${firstIdOf(at)}70008000000000000000.${attempt}`;
}

async function tableOf(attemptId: string): Promise<string | undefined> {
  const { rows } = await sql<{ table: string }>`
    select tableoid::regclass::text as table from attempts where attempt_id = ${attemptId}`.execute(db);
  return rows[0]?.table;
}

test('this month and the next three have a place, however often and by however many it is asked for', async () => {
  await migrate(database.url, log);
  await Promise.all(Array.from({ length: 4 }, () => makePartitions(db, new Date())));
  const ends = (await listPartitions(db)).map(({ endsAt }) => endsAt);
  expect(ends).toEqual([1, 2, 3, 4].map(monthFromNow));
});

test('an attempt lies in the month of its request, and ids of another shape have a place too', async () => {
  await migrate(database.url, log);
  const next = monthFromNow(1);
  const name = `attempts_${next.toISOString().slice(0, 7).replace('-', '_')}`;
  const places = [
    { attemptId: idAt(new Date(next.getTime() - 1)), table: 'attempts_first' },
    { attemptId: idAt(next), table: name },
    { attemptId: idAt(new Date(monthFromNow(2).getTime() - 1)), table: name },
    { attemptId: idAt(monthFromNow(7)), table: 'attempts_default' },
    { attemptId: 'req_x.1', table: 'attempts_default' },
    { attemptId: 'a.1', table: 'attempts_first' },
  ];
  await recordEvents(
    db,
    places.map(({ attemptId }) => usageEvent({ attemptId })),
  );
  for (const { attemptId, table } of places) expect(await tableOf(attemptId)).toBe(table);
});

test('what came before its month was made is moved there, and is recorded once still', async () => {
  await migrate(database.url, log);
  const event = usageEvent({ attemptId: idAt(monthFromNow(6)), tags: { a: 'b' }, rates: [1, 2, 3, 4] });
  await recordEvents(db, [event]);
  await makePartitions(db, monthFromNow(4));
  const month = monthFromNow(6).toISOString().slice(0, 7).replace('-', '_');
  expect(await tableOf(event.attemptId)).toBe(`attempts_${month}`);
  expect(await recordEvents(db, [event])).toMatchObject({ recorded: 0, duplicate: 1 });
  expect(await reportUsage(db, { groupBy: ['tag:a'] })).toMatchObject([{ attempts: 1 }]);
});

test('no row of any month is changed or taken away, also by the name of its partition', async () => {
  await migrate(database.url, log);
  await recordEvents(db, [
    usageEvent(),
    usageEvent({ attemptId: 'req_x.1' }),
    usageEvent({ attemptId: idAt(monthFromNow(2)) }),
  ]);
  const tables = ['attempts', 'attempts_default', ...(await listPartitions(db)).map(({ table }) => table)];
  expect(tables).toHaveLength(6);
  for (const table of tables) {
    for (const statement of [`update ${table} set cost_nano_usd = 0`, `delete from ${table}`, `truncate ${table}`])
      await expect(sql.raw(statement).execute(db)).rejects.toThrow('is append-only');
  }
});

/** Everything that the last release could write. */
async function writeAsLastRelease(): Promise<void> {
  const released = Object.fromEntries(Object.entries(MIGRATIONS).slice(0, 2));
  await new Migrator({ db, provider: { getMigrations: () => Promise.resolve(released) } }).migrateToLatest();
  const rows = [
    { id: idAt(monthFromNow(-14)), at: '2025-09-01T10:59:59.999Z', cost: '5', team: 'blue', lane: null, error: null },
    {
      id: idAt(monthFromNow(0)),
      at: '2026-11-01T00:00:00Z',
      cost: 'null',
      team: null,
      lane: 'batch',
      error: 'internal',
    },
    { id: idAt(monthFromNow(0), 2), at: '2026-11-01T00:30:00Z', cost: '7', team: 'blue', lane: null, error: null },
    { id: idAt(monthFromNow(1)), at: '2026-11-30T23:59:59Z', cost: '11', team: 'blue', lane: null, error: null },
    { id: 'req_1.1', at: '2026-11-02T12:00:00Z', cost: '13', team: 'red', lane: null, error: null },
  ];
  for (const { id, at, cost, team, lane, error } of rows)
    await sql`
      insert into attempts (attempt_id, request_id, attempt, source, started_at, key_id, key_name, team, model, deployment,
        provider, upstream_model, endpoint, is_stream, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens,
        is_estimated, cost_nano_usd, queue_ms, ttft_ms, duration_ms, worker, ingress, lane, error)
      values (${id}, 'req_1', 1, 'worker', ${at}, 'key_1', 'old', ${team}, 'm', 'p/m', 'p', 'm', 'chat', false, 1, 2, 0, 0,
        false, ${cost === 'null' ? null : cost}, 0, null, 5, 'w', 'i', ${lane}, ${error})`.execute(db);
}

test('what the last release wrote stays where it lies, and is in every sum', async () => {
  await writeAsLastRelease();
  const { rows: before } = await sql<{ file: number }>`select pg_relation_filenode('attempts') as file`.execute(db);
  await migrate(database.url, log);
  const { rows: after } = await sql<{ file: number }>`select pg_relation_filenode('attempts_first') as file`.execute(
    db,
  );
  expect(after).toEqual(before);
  expect(await tableOf(idAt(monthFromNow(-14)))).toBe('attempts_first');
  expect(await tableOf('req_1.1')).toBe('attempts_default');

  for (const exactUpToAttempts of [0, 100]) {
    expect(await reportUsage(db, { groupBy: ['team'], exactUpToAttempts })).toMatchObject([
      { group: { team: 'blue' }, attempts: 3, costNanoUsd: 23n },
      { group: { team: 'red' }, attempts: 1, costNanoUsd: 13n },
      { group: { team: null }, attempts: 1, errors: 1, attemptsWithUnknownPrice: 1 },
    ]);
    expect(await reportUsage(db, { groupBy: ['user'], exactUpToAttempts })).toMatchObject([{ attempts: 5 }]);
    const november = { sinceEpochMs: Date.UTC(2026, 10, 1), untilEpochMs: Date.UTC(2026, 11, 1) };
    expect(await reportUsage(db, { ...november, groupBy: ['lane'], exactUpToAttempts })).toMatchObject([
      { group: { lane: 'interactive' }, attempts: 3, costNanoUsd: 31n },
      { group: { lane: 'batch' }, attempts: 1 },
    ]);
  }
});

test('sums of before and after a release are the same groups', async () => {
  await writeAsLastRelease();
  await migrate(database.url, log);
  const old = { ...{ keyId: 'key_1', keyName: 'old', team: 'blue', model: 'm', deployment: 'p/m', provider: 'p' } };
  await recordEvents(db, [usageEvent({ ...old, startedEpochMs: Date.UTC(2026, 10, 1), error: null })]);
  const groups = await db
    .selectFrom('usage_groups')
    .select('cube')
    .where('team', '=', 'blue')
    .orderBy('cube')
    .execute();
  expect(groups.map(({ cube }) => cube)).toEqual([1, 2, 4, 5]);
  for (const exactUpToAttempts of [0, Infinity])
    expect(await reportUsage(db, { groupBy: ['key'], team: 'blue', exactUpToAttempts })).toMatchObject([
      { attempts: 4, costNanoUsd: 270_023n },
    ]);
});

test('a report in the name of the ledger may record again what the last release already had', async () => {
  await writeAsLastRelease();
  await migrate(database.url, log);
  const again = usageEvent({ attemptId: idAt(monthFromNow(1)), source: 'reaper' });
  expect(await recordEvents(db, [again, usageEvent({ source: 'reaper' })])).toMatchObject({
    recorded: 1,
    duplicate: 1,
  });
});
