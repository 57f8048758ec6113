import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PostgresServer } from '../../../infra/servers/postgres.ts';
import { startPostgres } from '../../../infra/servers/postgres.ts';
import { Bus } from '../../../shared/bus.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLog } from '../../../shared/log.ts';
import { LedgerBeat } from '../../../shared/messages/beat.ts';
import { KeyAnswer } from '../../../shared/messages/key.ts';
import { LeaseAnswer } from '../../../shared/messages/lease.ts';
import { beatWildcard, ledgerSubject, USAGE_CONSUMER, USAGE_STREAM } from '../../../shared/subjects.ts';
import { freshNats } from '../../../test/support/fresh.ts';
import type { TestNats } from '../../../test/support/servers.ts';
import { createKey, hashOfToken } from '../principals/keys.ts';
import { startLedger } from '../main.ts';
import { askFor, makeBudget } from '../testing/budget-setup.ts';
import { countAttempts, until } from '../testing/counts.ts';
import { publishEvents } from '../testing/publish.ts';
import { TEST_SECRET } from '../testing/secret.ts';
import { usageEvents } from '../testing/usage-event.ts';

const log = createLog('silent', 'test');
let dataDir: string;
let nats: TestNats;
let postgres: PostgresServer;

/** A Postgres of its own, because it is stopped. */
const start = (port?: number): Promise<PostgresServer> =>
  startPostgres({ dataDir, log, port, settings: { fsync: 'off' } });

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  [nats, postgres] = await Promise.all([freshNats(), start()]);
});

afterAll(async () => {
  await Promise.all([nats.stop(), postgres.stop()]);
  await rm(dataDir, { recursive: true, force: true });
});

test('Postgres goes and comes back under load: told at once, nothing lost, nothing twice, no storm of redeliveries', async () => {
  const bus = await Bus.connect({ url: nats.url, name: 'test', log });
  const ledger = await startLedger({ databaseUrl: postgres.url, secret: TEST_SECRET, bus, clock: systemClock, log });
  const { token } = await createKey(ledger.db, { name: 'one' }, ledger.secret);
  const askForKey = (): Promise<KeyAnswer> =>
    bus.request(ledgerSubject('key'), { v: 1, hash: hashOfToken(token) }, KeyAnswer, 3_000);
  expect(await askForKey()).toMatchObject({ principal: { keyName: 'one' } });
  const { id: budget } = await makeBudget(ledger.db);
  const askForLease = (): Promise<LeaseAnswer> =>
    bus.request(ledgerSubject('lease'), askFor('ing-1', [{ budget, need: 1 }]), LeaseAnswer, 3_000);
  expect((await askForLease()).grants).toHaveLength(1);
  let beat: LedgerBeat | undefined;
  bus.onMessage(beatWildcard('ledger'), LedgerBeat, (message) => (beat = message));
  const published = { count: 0 };
  const load = setInterval(() => {
    published.count += 100;
    void publishEvents(bus, usageEvents(100), 10);
  }, 10);
  await until('some are recorded', async () => (await countAttempts(ledger.db)) > 1_000);

  const { port } = postgres;
  await postgres.stop();
  await until('the beat says so', () => Promise.resolve(beat?.postgres === 'ECONNREFUSED'));
  await expect(askForKey()).rejects.toMatchObject({ code: 'broker_unavailable', message: /Nobody answers/ });
  await expect(askForLease()).rejects.toMatchObject({ code: 'broker_unavailable', message: /Nobody answers/ });
  await until('the backlog grows', () => Promise.resolve((beat?.backlog ?? 0) > 100));
  const manager = await bus.jetStreamManager();
  const { delivered } = await manager.consumers.info(USAGE_STREAM, USAGE_CONSUMER);
  expect(delivered.consumer_seq).toBeLessThan(2 * delivered.stream_seq);

  postgres = await start(port);
  await until('the beat says so', () => Promise.resolve(beat?.postgres === null), 20_000);
  clearInterval(load);
  await until('all are recorded', async () => (await countAttempts(ledger.db)) >= published.count, 30_000);
  expect(await countAttempts(ledger.db)).toBe(published.count);
  expect(await askForKey()).toMatchObject({ principal: { keyName: 'one' } });
  expect((await askForLease()).grants).toHaveLength(1);
  await ledger.stop();
  await bus.close();
}, 90_000);
