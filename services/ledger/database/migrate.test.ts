import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import { freshDatabase } from '../../../test/support/fresh.ts';
import { openDatabase } from './database.ts';
import { listKeys } from '../principals/keys.ts';
import { lookUpKey } from '../principals/look-up-key.ts';
import { recentAttempts } from '../usage/list-attempts.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { testSecret } from '../testing/secret.ts';
import { reportUsage } from '../usage/usage-report.ts';

const log = createLog('silent', 'test');

test('ledgers that start at once migrate once, and a later start changes nothing', async () => {
  const database = await freshDatabase();
  await Promise.all(Array.from({ length: 5 }, () => migrate(database.url, log)));
  await migrate(database.url, log);
  const db = openDatabase({ url: database.url, log });
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(MIGRATIONS));
  await db.destroy();
  await database.drop();
});

test('migrations stand in the order of their names', () => {
  expect(Object.keys(MIGRATIONS)).toEqual(Object.keys(MIGRATIONS).toSorted());
});

test('what the first version wrote is read by this one', async () => {
  const database = await freshDatabase();
  const db = openDatabase({ url: database.url, log });
  const first = Object.fromEntries(Object.entries(MIGRATIONS).slice(0, 1));
  await new Migrator({ db, provider: { getMigrations: () => Promise.resolve(first) } }).migrateToLatest();
  const hash = 'a'.repeat(64);
  await sql`insert into api_keys (id, name, hash, prefix) values ('key_1', 'old', ${hash}, 'sk-sluice-abcd')`.execute(
    db,
  );
  await sql`
    insert into attempts (attempt_id, request_id, attempt, source, started_at, key_id, key_name, model, deployment,
      provider, upstream_model, endpoint, is_stream, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens,
      is_estimated, queue_ms, duration_ms, worker, ingress)
    values ('req_1.1', 'req_1', 1, 'worker', now(), 'key_1', 'old', 'm', 'p/m', 'p', 'm', 'chat', false, 1, 2, 0, 0,
      false, 0, 5, 'w', 'i')`.execute(db);

  await migrate(database.url, log);

  const principal = { keyId: 'key_1', keyName: 'old', team: null };
  expect(await lookUpKey(db, testSecret, hash)).toEqual({ v: 1, principal, policy: {} });
  expect(await listKeys(db)).toMatchObject([{ name: 'old', overrides: 'all' }]);
  expect(await recentAttempts(db, 1)).toMatchObject([
    { deployment: 'p/m', reason: null, variant: null, lane: 'interactive' },
  ]);
  expect(await reportUsage(db, { groupBy: ['lane', 'reason'] })).toMatchObject([
    { group: { lane: 'interactive', reason: null }, attempts: 1, outputTokens: 2 },
  ]);
  await db.destroy();
  await database.drop();
});

test('sums of an earlier release, with corrections in them, are in the reports that have sums of their own since', async () => {
  const database = await freshDatabase();
  const db = openDatabase({ url: database.url, log });
  const upTo = async (count: number): Promise<void> => {
    const some = Object.fromEntries(Object.entries(MIGRATIONS).slice(0, count));
    await new Migrator({ db, provider: { getMigrations: () => Promise.resolve(some) } }).migrateToLatest();
  };
  await upTo(6);
  await sql`
    insert into attempts (attempt_id, request_id, attempt, source, started_at, key_id, key_name, team, model, deployment,
      provider, upstream_model, endpoint, is_stream, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens,
      is_estimated, cost_nano_usd, queue_ms, ttft_ms, duration_ms, error, worker, ingress)
    select 'req_' || i || '.1', 'req_' || i, 1, 'worker', timestamptz '2026-10-30 00:00Z' + i * interval '37 minutes',
      'key_1', 'one', (array['blue', 'red', null, '(a, "b")'])[1 + i % 4], 'model-' || i % 3, 'p/m', 'p', 'm', 'chat', false,
      i, 2, 0, 0, false, nullif(i % 7, 0) * 1000000000000, 0, i % 50, i * 3,
      case when i % 5 = 0 then 'upstream_failed' end, 'w', 'i'
    from generate_series(1, 400) as i`.execute(db);
  await upTo(9);
  await sql`
    insert into corrections (attempt_id, amount_nano_usd, is_first_price, rates, reason, corrected_by)
    values ('req_7.1', 500, true, '{1,1,1,1}', 'late', 'ops'), ('req_8.1', -300, false, '{1,1,1,1}', 'less', 'ops')`.execute(
    db,
  );
  for (const [table, column, bucket] of [
    ['usage_hourly', 'hour', "date_trunc('hour', started_at, 'UTC')"],
    ['usage_daily', 'day', "(started_at at time zone 'UTC')::date"],
  ] as const)
    await sql
      .raw(
        `update ${table} as sums set cost_nano_usd = sums.cost_nano_usd + amount_nano_usd,
          unknown_price = unknown_price - is_first_price::int
        from corrections join attempts using (attempt_id), usage_groups as g
        where g.id = sums.group_id and sums.${column} = ${bucket} and g.model = attempts.model
          and g.team is not distinct from attempts.team and g.error is not distinct from attempts.error`,
      )
      .execute(db);

  await migrate(database.url, log);

  const sinceEpochMs = Date.UTC(2026, 9, 31, 4, 30);
  for (const asked of [
    { groupBy: [] },
    { groupBy: ['team'] },
    { groupBy: ['team', 'hour'], sinceEpochMs },
    { groupBy: ['error', 'day'], sinceEpochMs },
    { groupBy: ['user', 'team'], top: 2, sinceEpochMs },
    { groupBy: ['key', 'model'], team: '(a, "b")', sinceEpochMs },
  ] as const) {
    const [added, counted] = await Promise.all(
      [0, Infinity].map((exactUpToAttempts) => reportUsage(db, { ...asked, exactUpToAttempts })),
    );
    const told = (rows: typeof added): object[] | undefined =>
      rows?.map(({ group, attempts, errors, costNanoUsd, attemptsWithUnknownPrice, inputTokens }) => ({
        ...{ group, attempts, errors, costNanoUsd, attemptsWithUnknownPrice, inputTokens },
      }));
    expect(added?.length).toBeGreaterThan(0);
    expect(told(added)).toEqual(told(counted));
  }
  await db.destroy();
  await database.drop();
});
