import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { expect, test } from 'vitest';
import { createLog } from '../../shared/log.ts';
import { freshDatabase } from '../../test/support/fresh.ts';
import { openDatabase } from './database.ts';
import { listKeys } from './keys.ts';
import { lookUpKey } from './look-up-key.ts';
import { recentAttempts } from './list-attempts.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { testSecret } from './testing/secret.ts';
import { reportUsage } from './usage-report.ts';

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
