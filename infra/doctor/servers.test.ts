import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../services/ledger/database/migrate.ts';
import { loadConfig } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import { freshDatabase, freshNats, redisUrl } from '../../test/support/fresh.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import type { Patient } from './check.ts';
import { checkNats } from './nats.ts';
import { checkPostgres } from './postgres.ts';
import { checkRedis } from './redis.ts';

let nats: TestNats;
let database: TestDatabase;

beforeAll(async () => {
  [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), database.drop()]);
});

function patient(env: Record<string, string>): Patient {
  return { config: loadConfig({ env, cwd: '/' }), gateway: undefined };
}

test('a NATS server with JetStream is well', async () => {
  const check = await checkNats(patient({ NATS_URL: nats.url }), {});
  expect(check).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('JetStream on, max_payload 1024 KiB') as string,
  });
  expect(check.detail).toContain(nats.version);
});

test('a database is well once it is migrated, and before that there is nothing to do', async () => {
  const ours = patient({ DATABASE_URL: database.url });
  expect(await checkPostgres(ours)).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('not migrated yet') as string,
  });
  await migrate(database.url, createLog('silent', 'test'));
  expect(await checkPostgres(ours)).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/(\d+) of \1 migrations applied$/) as string,
  });
});

test('a Redis that answers is well, and none is no fault', async () => {
  expect(await checkRedis(patient({ REDIS_URL: await redisUrl() }))).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/^\d+\.\d+/) as string,
  });
  expect(await checkRedis(patient({}))).toMatchObject({ status: 'ok' });
});
