import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { startNats } from '../../infra/servers/nats.ts';
import type { NatsServer } from '../../infra/servers/nats.ts';
import { startPostgres } from '../../infra/servers/postgres.ts';
import type { PostgresServer } from '../../infra/servers/postgres.ts';
import { createLog } from '../../shared/log.ts';
import { Deployment } from '../support/deployment.ts';
import { isServed, Load, summary } from '../support/load.ts';
import type { Outcome } from '../support/load.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { reconcile } from '../support/reconcile.ts';
import { until } from '../support/settled.ts';

/**
 * Whoever dies or hangs under load: every request ends, none is served twice, the rest recovers by itself, and the
 * ledger agrees with the provider. One gateway for all victims, so that each also stands on what the last one left;
 * each has a model of its own, by which its account is told from the others'.
 */
const TOKENS = 10;
const VICTIMS = [
  'ledger-killed',
  'last-ledger-killed',
  'worker-killed',
  'last-worker-killed',
  'worker-stopped',
  'router-killed',
  'last-router-killed',
  'router-stopped',
  'last-router-stopped',
  'ingress-killed',
  'ingress-stopped',
  'nats-killed',
  'nats-stopped',
  'postgres-killed',
] as const;
type Victim = (typeof VICTIMS)[number];

const log = createLog('silent', 'test-servers');
let folder: string;
let nats: NatsServer;
let postgres: PostgresServer;
let provider: ScriptedProvider;
let gateway: Deployment;
const accounts = new Map<Victim, readonly Outcome[]>();

// Servers of this file's own, never in Docker: they are killed and stopped too.
const startOwnNats = (port?: number): Promise<NatsServer> =>
  startNats({ dataDir: folder, cacheDir: defaultCacheDir(process.env), log, port });
const startOwnPostgres = (port?: number): Promise<PostgresServer> =>
  startPostgres({ dataDir: folder, log, port, settings: { fsync: 'off' } });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  provider = await startProvider({ defaults: `n=${TOKENS}&ttft=40&itl=25&ts=1`, record: 100_000 });
  [nats, postgres] = await Promise.all([startOwnNats(), startOwnPostgres()]);
  const models = VICTIMS.map((name) => `${name}: { price: { input: "1 USD", output: "2 USD" } }`).join(', ');
  gateway = await Deployment.start({
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", api_key: sk-upstream, concurrency: 64, models: { ${models} } } }`,
    natsUrl: nats.url,
    databaseUrl: postgres.url,
  });
}, 90_000);

afterAll(async () => {
  await gateway.stop();
  await Promise.allSettled([nats.stop(), postgres.stop(), provider.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** Load before, during and after the blow: it must come back by itself. */
async function underLoad(
  victim: Victim,
  strike: (load: Load) => Promise<void>,
  urls: () => readonly string[] = () => gateway.urls(),
): Promise<readonly Outcome[]> {
  const load = Load.start({ urls, model: `mock/${victim}`, tokens: TOKENS });
  try {
    await load.served(24);
    await strike(load);
    await load.steady(48);
  } finally {
    accounts.set(victim, await load.stop());
  }
  return load.outcomes;
}

/** Every request ended, in one of the two ways that clients can rely on. */
function expectCleanEnds(outcomes: readonly Outcome[]): void {
  const bad = outcomes.filter(({ ending }) => ending.kind !== 'served' && ending.kind !== 'failed');
  expect(bad, summary(outcomes)).toEqual([]);
}

/** As above, and nobody was told of more than a stream that had begun and could not go on. */
function expectUnseen(outcomes: readonly Outcome[], allowed: readonly string[] = []): void {
  expectCleanEnds(outcomes);
  const told = outcomes.filter(({ ending }) => ending.kind === 'failed' && !allowed.includes(ending.code) && !ending.hasBegun);
  expect(told, summary(outcomes)).toEqual([]);
}

test('a ledger killed, another goes on: no request notices', async () => {
  const outcomes = await underLoad('ledger-killed', async (load) => {
    await gateway.one('ledger').kill9();
    await load.served(48);
  });
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});

test('the last ledger killed, and started again: no request notices', async () => {
  const outcomes = await underLoad('last-ledger-killed', async (load) => {
    await gateway.one('ledger').kill9();
    await load.served(48);
    await gateway.add('ledger');
  });
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});

test('a worker killed, another goes on: only streams that had begun fail', async () => {
  expectUnseen(await underLoad('worker-killed', () => gateway.one('worker').kill9()));
});

test('the last worker killed, and a new one started', async () => {
  const outcomes = await underLoad('last-worker-killed', async (load) => {
    await gateway.one('worker').kill9();
    const from = load.outcomes.length;
    await until(() => load.outcomes.slice(from).some((outcome) => !isServed(outcome)), 10_000, () => 'nobody was refused');
    await gateway.add('worker');
  });
  expectCleanEnds(outcomes);
});

test('a worker that hangs, and goes on later: only streams that had begun fail', async () => {
  await gateway.add('worker');
  await gateway.untilWhole();
  const worker = gateway.one('worker');
  const outcomes = await underLoad('worker-stopped', async (load) => {
    worker.stop();
    try {
      await load.steady(48);
    } finally {
      worker.cont();
    }
  });
  expectUnseen(outcomes);
});

test('a router killed, another goes on: no request notices', async () => {
  const outcomes = await underLoad('router-killed', () => gateway.one('router').kill9());
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});

test('the last router killed, and a new one started', async () => {
  const outcomes = await underLoad('last-router-killed', async (load) => {
    await gateway.one('router').kill9();
    const from = load.outcomes.length;
    await until(() => load.outcomes.slice(from).some((outcome) => !isServed(outcome)), 10_000, () => 'nobody was refused');
    await gateway.add('router');
  });
  expectUnseen(outcomes, ['router_unavailable']);
});

test('a router that hangs, and goes on later: no request notices', async () => {
  await gateway.add('router');
  await gateway.untilWhole();
  const router = gateway.one('router');
  const outcomes = await underLoad('router-stopped', async (load) => {
    router.stop();
    try {
      await load.steady(48);
    } finally {
      router.cont();
    }
  });
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});

test('the last router hangs, and goes on later', async () => {
  const [first, second] = gateway.all('router');
  await first?.kill9();
  const outcomes = await underLoad('last-router-stopped', async (load) => {
    second?.stop();
    try {
      const from = load.outcomes.length;
      await until(() => load.outcomes.slice(from).some((outcome) => !isServed(outcome)), 10_000, () => 'nobody was refused');
    } finally {
      second?.cont();
    }
  });
  expectUnseen(outcomes, ['router_unavailable']);
});

test('an ingress killed: its clients see a closed connection, its provider calls end, the other ingress is unaffected', async () => {
  const victim = gateway.one('ingress');
  let abandonedBefore = 0;
  const outcomes = await underLoad('ingress-killed', async () => {
    abandonedBefore = provider.stats().total.abandoned;
    const killedAt = performance.now();
    await victim.kill9();
    await provider.waitFor(({ total }) => total.abandoned > abandonedBefore || performance.now() - killedAt > 1_000);
  });
  const others = outcomes.filter(({ url }) => url !== victim.url);
  expect(others.filter((outcome) => !isServed(outcome))).toEqual([]);
  const its = outcomes.filter(({ url, ending }) => url === victim.url && ending.kind !== 'served');
  expect(its.map(({ ending }) => ending.kind).filter((kind) => kind !== 'closed')).toEqual([]);
  await gateway.add('ingress');
  await gateway.untilWhole();
});

test('an ingress that hangs, and goes on later: each of its requests ends', async () => {
  const victim = gateway.one('ingress');
  const others = gateway.urls().filter((url) => url !== victim.url);
  let isStopped = false;
  const urls = (): readonly string[] => (isStopped ? others : gateway.urls());
  const outcomes = await underLoad(
    'ingress-stopped',
    async () => {
      isStopped = true;
      victim.stop();
      const { active } = provider.stats();
      expect(active).toBeGreaterThan(0);
      // Longer than the workers wait for a sign of an ingress.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      victim.cont();
      isStopped = false;
    },
    urls,
  );
  expectCleanEnds(outcomes);
});

test('NATS killed and started again: 503 at once meanwhile, then as before', async () => {
  const outcomes = await underLoad('nats-killed', async (load) => {
    process.kill(nats.pid, 'SIGKILL');
    await nats.exited;
    const from = load.outcomes.length;
    await until(() => load.outcomes.slice(from).filter((outcome) => !isServed(outcome)).length > 48, 10_000, () => summary(load.outcomes));
    await nats.stop();
    nats = await startOwnNats(nats.port);
  });
  expectCleanEnds(outcomes);
});

test('NATS hangs, and goes on later: 503 meanwhile, then as before', async () => {
  const outcomes = await underLoad('nats-stopped', async (load) => {
    process.kill(nats.pid, 'SIGSTOP');
    try {
      const from = load.outcomes.length;
      await until(() => load.outcomes.slice(from).filter((outcome) => !isServed(outcome)).length > 48, 10_000, () => summary(load.outcomes));
    } finally {
      process.kill(nats.pid, 'SIGCONT');
    }
  });
  expectCleanEnds(outcomes);
});

test('Postgres killed and started again: no request notices', async () => {
  const outcomes = await underLoad('postgres-killed', async (load) => {
    process.kill(postgres.pid, 'SIGKILL');
    await postgres.exited;
    await load.served(48);
    await postgres.stop();
    postgres = await startOwnPostgres(postgres.port);
  });
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});

test.each(VICTIMS)('%s: provider, ledger and clients agree', { timeout: 60_000 }, async (victim) => {
  const outcomes = accounts.get(victim) ?? [];
  const account = { model: `mock/${victim}`, upstreamModel: victim, outcomes };
  const { rows, providerRequests, faults } = await reconcile(account, { databaseUrl: postgres.url, provider });
  process.stdout.write(`${victim}: ${summary(outcomes)}; ${rows} rows, ${providerRequests} provider requests\n`);
  expect(faults).toEqual([]);
  expect(outcomes.length).toBeGreaterThan(0);
});
