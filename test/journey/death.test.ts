import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { startNats } from '../../infra/servers/nats.ts';
import type { NatsServer } from '../../infra/servers/nats.ts';
import { startPostgres } from '../../infra/servers/postgres.ts';
import type { PostgresServer } from '../../infra/servers/postgres.ts';
import { createLog } from '../../shared/log.ts';
import { Deployment } from '../support/deployment.ts';
import { ask, isServed, Load, summary } from '../support/load.ts';
import type { Outcome } from '../support/load.ts';
import { startProvider } from '../support/provider.ts';
import type { Counters, ScriptedProvider } from '../support/provider.ts';
import { reconcile } from '../support/reconcile.ts';
import { until } from '../support/settled.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

/**
 * Whoever dies or hangs under load: every request ends, none is served twice, the rest recovers by itself, and the
 * ledger agrees with the provider. One gateway for all victims; what one has left of it is made whole for the next, so
 * that a try that failed does not fail all that come after it. Each has a model of its own, by which its account is told
 * from the others'.
 */
const TOKENS = 10;
/** Longer than anybody in the gateway waits for a sign of life: a token each 0.4 s, or an answer after 8 s. */
const SLOW = { tokens: 20, stream: 'itl=400&n=20&up=slow', plain: 'ttft=8000&n=20&up=late' };
const VICTIMS = [
  'ledger-killed',
  'last-ledger-killed',
  'worker-killed',
  'last-worker-killed',
  'worker-stopped',
  'worker-cut-off',
  'router-killed',
  'last-router-killed',
  'router-stopped',
  'last-router-stopped',
  'router-cut-off',
  'ingress-killed',
  'ingress-killed-with-a-line',
  'ingress-stopped',
  'nats-killed',
  'nats-stopped',
  'postgres-killed',
] as const;
type Victim = (typeof VICTIMS)[number];

// A blow, what it does, and the way back: 1 to 8 s on a quiet machine.
vi.setConfig({ testTimeout: 60_000 });

const log = createLog('silent', 'test-servers');
const accounts = new Map<Victim, Outcome[]>(VICTIMS.map((victim) => [victim, []]));
let folder: string;
let nats: NatsServer;
let postgres: PostgresServer;
let provider: ScriptedProvider;
let gateway: Deployment;

// Servers of this file's own, never in Docker: they are killed and stopped too.
const startOwnNats = (port?: number): Promise<NatsServer> =>
  startNats({ dataDir: folder, cacheDir: defaultCacheDir(process.env), log, port });
const startOwnPostgres = (port?: number): Promise<PostgresServer> =>
  startPostgres({ dataDir: folder, log, port, settings: { fsync: 'off' } });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  provider = await startProvider({ defaults: `n=${TOKENS}&ttft=40&itl=25&ts=1`, record: 100_000 });
  [nats, postgres] = await Promise.all([startOwnNats(), startOwnPostgres()]);
  const models = Object.fromEntries(VICTIMS.map((name) => [name, { price: { input: '1 USD', output: '2 USD' } }]));
  const pool = (script: string, concurrency: number): object => ({
    base_url: `${provider.url}/m/${script}/v1`,
    concurrency,
    models,
  });
  const providers = {
    mock: pool('up=mock', 64),
    slow: pool(SLOW.stream, 64),
    late: pool(SLOW.plain, 64),
    narrow: pool('up=narrow', 2),
  };
  gateway = await Deployment.start({
    yaml: `providers: ${JSON.stringify(providers)}`,
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
    accounts.get(victim)?.push(...(await load.stop()));
  }
  return load.outcomes;
}

/** Three streams and three plain answers that take 8 s, once the provider works on all of them. */
async function startSlow(victim: Victim, url: string): Promise<{ ended: Promise<Outcome[]> }> {
  const before = slowCount('requests');
  const asked = Array.from({ length: 6 }, (_, index) => {
    const stream = index % 2 === 0;
    return ask(url, { model: `${stream ? 'slow' : 'late'}/${victim}`, tokens: SLOW.tokens, stream });
  });
  await provider.waitFor(() => slowCount('requests') >= before + asked.length);
  const ended = Promise.all(asked);
  void ended.then((all) => accounts.get(victim)?.push(...all));
  return { ended };
}

function slowCount(what: keyof Counters): number {
  const series = Object.entries(provider.stats().byLabelKeyModel).filter(([name]) => /^(slow|late)\|/.test(name));
  return series.reduce((sum, [, counters]) => sum + counters[what], 0);
}

/** Waits until a request that began after this has failed. */
async function untilSomeFail(load: Load, count = 1): Promise<void> {
  const from = load.outcomes.length;
  const failed = (): number => load.outcomes.slice(from).filter((outcome) => !isServed(outcome)).length;
  await until(
    () => failed() >= count,
    10_000,
    () => `${count} fail; ${summary(load.outcomes.slice(from))}`,
  );
}

function expectAllServed(outcomes: readonly Outcome[]): void {
  expect(
    outcomes.filter((outcome) => !isServed(outcome)),
    summary(outcomes),
  ).toEqual([]);
}

/** Every request ended in one of the two ways that clients can rely on. @param codes those that it may have failed with */
function expectCleanEnds(outcomes: readonly Outcome[], codes: readonly string[]): void {
  const isClean = ({ ending }: Outcome): boolean =>
    ending.kind === 'served' || (ending.kind === 'failed' && codes.includes(ending.code));
  expect(
    outcomes.filter((outcome) => !isClean(outcome)),
    summary(outcomes),
  ).toEqual([]);
}

/** As above, and whoever was told of a failure had a part of the answer already. */
function expectOnlyBegunFail(outcomes: readonly Outcome[], code: string): void {
  expectCleanEnds(outcomes, [code]);
  const early = outcomes.filter(({ ending }) => ending.kind === 'failed' && !ending.hasBegun);
  expect(early, summary(outcomes)).toEqual([]);
}

describe('under load', () => {
  beforeEach(() => gateway.restore(), 90_000);

  describe('a ledger', () => {
    test('is killed, another goes on: no request notices', async () => {
      const outcomes = await underLoad('ledger-killed', async (load) => {
        await gateway.one('ledger').kill9();
        await load.served(48);
      });
      expectAllServed(outcomes);
    });

    test('is the last and killed, and started again: no request notices', async () => {
      const ledger = await gateway.keepOne('ledger');
      const outcomes = await underLoad('last-ledger-killed', async (load) => {
        await ledger.kill9();
        await load.served(48);
        await gateway.add('ledger');
      });
      expectAllServed(outcomes);
    });
  });

  describe('a worker', () => {
    test('is killed, another goes on: only streams that had begun fail', async () => {
      const outcomes = await underLoad('worker-killed', () => gateway.one('worker').kill9());
      expectOnlyBegunFail(outcomes, 'worker_lost');
    });

    test('is the last and killed, and a new one started', async () => {
      const worker = await gateway.keepOne('worker');
      const outcomes = await underLoad('last-worker-killed', async (load) => {
        await worker.kill9();
        await untilSomeFail(load, 24);
        await gateway.add('worker');
      });
      expectCleanEnds(outcomes, ['worker_lost', 'no_deployment']);
    });

    test('hangs and goes on later: only streams that had begun fail, and late words of it reach nobody', async () => {
      const worker = gateway.one('worker');
      const outcomes = await underLoad('worker-stopped', async (load) => {
        worker.stop();
        try {
          await load.turnover();
          await load.served(48);
        } finally {
          worker.cont();
        }
      });
      expectOnlyBegunFail(outcomes, 'worker_lost');
    });

    test('loses its connection to NATS for a moment: its requests end, and it serves again', async () => {
      const proxy = await startTcpProxy(nats.url);
      const others = gateway.all('worker');
      const victim = await gateway.add('worker', { NATS_URL: proxy.url });
      await Promise.all(others.map((worker) => worker.term()));
      try {
        const slow = await startSlow('worker-cut-off', gateway.one('ingress').url);
        const outcomes = await underLoad('worker-cut-off', async (load) => {
          proxy.cut();
          await load.turnover();
        });
        expectCleanEnds([...outcomes, ...(await slow.ended)], ['worker_lost', 'stream_gap', 'no_deployment']);
      } finally {
        await victim.term();
        await proxy.stop();
      }
    });
  });

  describe('a router', () => {
    test('is killed, another goes on: no request notices', async () => {
      expectAllServed(await underLoad('router-killed', () => gateway.one('router').kill9()));
    });

    test('is the last and killed, and a new one started', async () => {
      const router = await gateway.keepOne('router');
      const outcomes = await underLoad('last-router-killed', async (load) => {
        await router.kill9();
        await untilSomeFail(load, 24);
        await gateway.add('router');
      });
      expectCleanEnds(outcomes, ['router_unavailable']);
    });

    test('hangs and goes on later: no request notices', async () => {
      const router = gateway.one('router');
      const outcomes = await underLoad('router-stopped', async (load) => {
        router.stop();
        try {
          await load.turnover();
          await load.served(48);
        } finally {
          router.cont();
        }
      });
      expectAllServed(outcomes);
    });

    test('is the last and hangs, and goes on later', async () => {
      const router = await gateway.keepOne('router');
      const outcomes = await underLoad('last-router-stopped', async (load) => {
        router.stop();
        try {
          await untilSomeFail(load);
        } finally {
          router.cont();
        }
      });
      expectCleanEnds(outcomes, ['router_unavailable']);
    });
  });

  test('a router with a line loses its connection to NATS for a moment: the line is served', async () => {
    const proxy = await startTcpProxy(nats.url);
    const others = gateway.all('router');
    const victim = await gateway.add('router', { NATS_URL: proxy.url });
    await gateway.untilWhole();
    await Promise.all(others.map((router) => router.term()));
    try {
      const { url } = gateway.one('ingress');
      const model = 'narrow/router-cut-off';
      const asked = Array.from({ length: 40 }, () => ask(url, { model, tokens: TOKENS, stream: true }));
      await gateway.metric(url, 'sluice_requests_in_flight', (count) => count >= 36);
      proxy.cut();
      const outcomes = await Promise.all(asked);
      accounts.get('router-cut-off')?.push(...outcomes);
      expectAllServed(outcomes);
    } finally {
      await victim.term();
      await proxy.stop();
    }
  });

  describe('an ingress', () => {
    test('is killed: its clients see a closed connection, its provider calls end, the other ingress is unaffected', async () => {
      const victim = gateway.one('ingress');
      const slow = await startSlow('ingress-killed', victim.url);
      const outcomes = await underLoad('ingress-killed', async () => {
        const before = slowCount('abandoned');
        await victim.kill9();
        await provider.waitFor(() => slowCount('abandoned') >= before + 6, 3_000);
      });
      const all = [...outcomes, ...(await slow.ended)];
      expectAllServed(all.filter(({ url }) => url !== victim.url));
      const ends = new Set(all.filter(({ url }) => url === victim.url).map(({ ending }) => ending.kind));
      expect(ends).toEqual(new Set(['served', 'closed']));
    });

    test('is killed while its requests stand in line: those of the other ingress do not wait for the dead', async () => {
      const victim = gateway.one('ingress');
      const other = gateway.urls().find((url) => url !== victim.url) ?? '';
      const model = 'narrow/ingress-killed-with-a-line';
      const doomed = Array.from({ length: 60 }, () => ask(victim.url, { model, tokens: TOKENS, stream: true }));
      const waiting = await gateway.metric(victim.url, 'sluice_requests_in_flight', (count) => count >= 40);
      expect(waiting).toBeGreaterThanOrEqual(40);
      await victim.kill9();
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, () => ask(other, { model, tokens: TOKENS, stream: false })),
      );
      accounts.get('ingress-killed-with-a-line')?.push(...outcomes, ...(await Promise.all(doomed)));
      expectAllServed(outcomes);
      expect(Math.max(...outcomes.map(({ tookMs }) => tookMs))).toBeLessThan(10_000);
    });

    test('hangs and goes on later: each of its requests ends', async () => {
      const victim = gateway.one('ingress');
      const others = gateway.urls().filter((url) => url !== victim.url);
      const slow = await startSlow('ingress-stopped', victim.url);
      let isStopped = false;
      const outcomes = await underLoad(
        'ingress-stopped',
        async () => {
          const before = slowCount('abandoned');
          isStopped = true;
          victim.stop();
          try {
            // The worker takes it for dead and ends what it asked for.
            await provider.waitFor(() => slowCount('abandoned') >= before + 6);
          } finally {
            victim.cont();
            isStopped = false;
          }
        },
        () => (isStopped ? others : gateway.urls()),
      );
      expectCleanEnds([...outcomes, ...(await slow.ended)], ['worker_lost']);
    });
  });

  describe('NATS', () => {
    test('is killed and started again: 503 at once meanwhile, then as before', async () => {
      const outcomes = await underLoad('nats-killed', async (load) => {
        process.kill(nats.pid, 'SIGKILL');
        try {
          await nats.exited;
          await untilSomeFail(load, 72);
        } finally {
          await nats.stop();
          nats = await startOwnNats(nats.port);
        }
      });
      expectCleanEnds(outcomes, ['broker_unavailable', 'router_unavailable', 'no_deployment']);
    });

    test('hangs and goes on later: 503 meanwhile, then as before', async () => {
      const outcomes = await underLoad('nats-stopped', async (load) => {
        process.kill(nats.pid, 'SIGSTOP');
        try {
          await untilSomeFail(load, 72);
        } finally {
          process.kill(nats.pid, 'SIGCONT');
        }
      });
      expectCleanEnds(outcomes, ['broker_unavailable', 'router_unavailable', 'no_deployment', 'worker_lost']);
    });
  });

  test('Postgres is killed and started again: no request notices', async () => {
    const outcomes = await underLoad('postgres-killed', async (load) => {
      process.kill(postgres.pid, 'SIGKILL');
      try {
        await postgres.exited;
        await load.served(48);
      } finally {
        await postgres.stop();
        postgres = await startOwnPostgres(postgres.port);
      }
    });
    expectAllServed(outcomes);
  });
});

test.each(VICTIMS)('%s: provider, ledger and clients agree', async (victim) => {
  const outcomes = accounts.get(victim) ?? [];
  const { rows, providerRequests, faults } = await reconcile(
    { upstreamModel: victim, outcomes },
    { databaseUrl: postgres.url, provider },
  );
  process.stdout.write(`${victim}: ${summary(outcomes)}; ${rows} rows, ${providerRequests} provider requests\n`);
  expect(faults).toEqual([]);
  expect(outcomes.length).toBeGreaterThan(0);
});
