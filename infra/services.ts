import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import type { SecretSource } from '../services/ledger/principals/key-secret.ts';
import type { Ledger } from '../services/ledger/main.ts';
import { Bus } from '../shared/bus.ts';
import { Catalog } from '../shared/catalog.ts';
import type { Clock } from '../shared/clock.ts';
import type { Config, ProviderConfig } from '../shared/config.ts';
import { ForcedStates } from '../shared/forced-states.ts';
import type { Log } from '../shared/log.ts';
import { loadPriceTable } from '../shared/pricing.ts';
import { SIMULATED } from '../shared/providers.ts';
import type { RedisConnection } from '../shared/redis.ts';
import type { Role } from '../shared/subjects.ts';
import { natsUnreachable } from './unreachable.ts';

/** An orchestrator that asks whether we are ready waits about this long itself. */
const REDIS_TIMEOUT_MS = 1_000;

/**
 * Each service with its own connections, as `npm start` and the single-service commands run it. A service's modules are
 * loaded when it runs: a router process has no fastify and no Postgres driver in it.
 */
export interface RunOptions {
  readonly config: Config;
  readonly natsUrl: string;
  readonly clock: Clock;
  readonly log: Log;
  /** May be shared by several services of one process. */
  readonly registry: Registry;
}

export interface RunLedgerOptions extends RunOptions {
  readonly databaseUrl: string;
}

export interface RunningService {
  readonly role: Role;
  /** The instance's id in subjects, logs and usage events. */
  readonly id: string;
  /** null when it can do its work, else why not: for `/health/ready`. */
  notReady(): Promise<string | null>;
  /** Drains (up to `drainLimitMs`, where the service has work to end) and closes the connections. */
  stop(drainLimitMs?: number): Promise<void>;
}

export interface RunningIngress extends RunningService {
  readonly host: string;
  /** The one it listens on, also when the configuration says 0. */
  readonly port: number;
  readonly url: string;
}

/** `db` and `secret` are for keys and reports in the same process. */
export type RunningLedger = RunningService & Pick<Ledger, 'db' | 'secret'>;

export async function runRouter(options: RunOptions): Promise<RunningService> {
  const { config, clock, registry } = options;
  const { startRouter } = await import('../services/router/main.ts');
  return withBuses('router', options, ['sluice-router'], ([bus]) =>
    withForced(bus, (forced) => {
      const router = startRouter({
        bus,
        clock,
        catalog: catalogOf(config),
        registry,
        forced,
        queueWeights: config.queueWeights,
      });
      return Promise.resolve({ id: router.id, stop: () => router.stop() });
    }),
  );
}

export async function runWorker(options: RunOptions): Promise<RunningService> {
  const { config, clock, log, registry } = options;
  const { startWorkers } = await import('../services/workers/main.ts');
  return withBuses('worker', options, ['sluice-worker', 'sluice-worker-journal'], ([bus, journalBus]) =>
    withForced(bus, async (forced) => {
      const { providers, stopProviders } = await withSimulated(config.providers, { clock, log });
      const redis = await sharedLimitsAt(config.redis.url, 'sluice-worker');
      try {
        const catalog = catalogOf(config);
        const workers = startWorkers({ bus, journalBus, clock, log, catalog, registry, providers, forced, redis });
        const stop = async (drainLimitMs?: number): Promise<void> => {
          await workers.stop(drainLimitMs);
          await stopProviders();
        };
        return { id: workers.id, notReady: () => Promise.resolve(workers.notReady()), stop };
      } catch (cause) {
        redis?.close();
        await stopProviders();
        throw cause;
      }
    }),
  );
}

/** Brings the database's tables up to date first. */
export async function runLedger(options: RunLedgerOptions): Promise<RunningLedger> {
  const { config, databaseUrl, clock, log, registry } = options;
  const { startLedger } = await import('../services/ledger/main.ts');
  return withBuses('ledger', options, ['sluice-ledger'], async ([bus]) => {
    const ledger = await startLedger({
      ...{ databaseUrl, secret: secretOf(config), bus, clock, log, registry, retention: config.retention },
      ...{ budgets: config.budgets, webhooks: config.alerts.webhooks },
    });
    const canRead = async (): Promise<string | null> => {
      const found = ledger.db.selectFrom('api_keys').select('id').limit(1).execute();
      return found.then(
        () => null,
        () => 'Postgres does not answer',
      );
    };
    return { id: ledger.id, db: ledger.db, secret: ledger.secret, notReady: canRead, stop: () => ledger.stop() };
  });
}

export async function runIngress(options: RunOptions): Promise<RunningIngress> {
  const { config, clock, log, registry } = options;
  const { startIngress } = await import('../services/ingress/main.ts');
  return withBuses('ingress', options, ['sluice-ingress', 'sluice-ingress-journal'], async ([bus, journalBus]) => {
    const catalog = catalogOf(config);
    const check = await redisCheck(config.redis.url);
    return withForced(bus, async (forced) => {
      const redis = await sharedLimitsAt(config.redis.url, 'sluice-ingress');
      const own = { config, bus, journalBus, clock, log, catalog, registry, forced, redis, ...check };
      const ingress = await startIngress(own).catch((failure: unknown) => {
        redis?.close();
        throw failure;
      });
      const { id, host, port, url } = ingress;
      return { id, host, port, url, stop: (drainLimitMs?: number) => ingress.stop(drainLimitMs) };
    });
  });
}

/** What a service gives back before its connections are added to it. */
interface Started {
  readonly id: string;
  readonly notReady?: () => Promise<string | null>;
  stop(drainLimitMs?: number): Promise<void>;
}

/**
 * One connection for each of `names`; they close after the service has stopped, and also when it does not start.
 * @throws UnreachableError when NATS does not answer
 */
async function withBuses<Names extends readonly string[], S extends Started>(
  role: Role,
  { natsUrl, log, registry }: RunOptions,
  names: readonly [...Names],
  start: (buses: { [Index in keyof Names]: Bus }) => Promise<S>,
): Promise<S & RunningService> {
  const poisoned = poisonedCounter(registry);
  const buses: Bus[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(buses.map((bus) => bus.close()));
  };
  try {
    for (const name of names) {
      // The last token is an instance's id: a label of its own for each would never end.
      const onPoisoned = (subject: string): void =>
        poisoned.inc({ role, subject: subject.split('.').slice(0, 2).join('.') });
      buses.push(await connect({ url: natsUrl, name, log, onPoisoned }));
    }
    const service = await start(buses as { [Index in keyof Names]: Bus });
    return {
      ...service,
      role,
      notReady: async () => {
        if (buses.some((bus) => !bus.isConnected)) return 'NATS is away';
        return service.notReady === undefined ? null : service.notReady();
      },
      stop: async (drainLimitMs) => {
        try {
          await service.stop(drainLimitMs);
        } finally {
          await close();
        }
      },
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

/** What operators forced on deployments is known before the service starts, where it can be. */
async function withForced<S extends Started>(bus: Bus, start: (forced: ForcedStates) => Promise<S>): Promise<S> {
  const forced = new ForcedStates();
  try {
    await forced.start(bus);
    const service = await start(forced);
    return {
      ...service,
      stop: async (drainLimitMs) => {
        try {
          await service.stop(drainLimitMs);
        } finally {
          forced.stop();
        }
      },
    };
  } catch (cause) {
    forced.stop();
    throw cause;
  }
}

async function connect(options: Parameters<typeof Bus.connect>[0]): Promise<Bus> {
  try {
    return await Bus.connect(options);
  } catch (cause) {
    throw natsUnreachable(options.url, cause);
  }
}

/** One for all services of the process. */
function poisonedCounter(registry: Registry): Counter<'role' | 'subject'> {
  const name = 'sluice_poisoned_messages_total';
  const known = registry.getSingleMetric(name);
  if (known instanceof Counter) return known;
  const help = 'Messages on NATS that broke their contract and were dropped.';
  return new Counter({ name, help, labelNames: ['role', 'subject'], registers: [registry] });
}

/** For `/health/ready`; nothing where no Redis is configured. */
async function redisCheck(url: string | undefined): Promise<{ pingRedis?: () => Promise<void> }> {
  if (url === undefined) return {};
  const { pingRedis } = await import('../shared/redis.ts');
  return { pingRedis: async () => void (await pingRedis(url, REDIS_TIMEOUT_MS)) };
}

/** Where the instances of a service share their limits; undefined where no Redis is configured. */
async function sharedLimitsAt(
  url: string | undefined,
  name: 'sluice-worker' | 'sluice-ingress',
): Promise<RedisConnection | undefined> {
  if (url === undefined) return undefined;
  const [{ connectRedis }, { REDIS_DEADLINE_MS }] = await Promise.all([
    import('../shared/redis.ts'),
    import('../shared/redis-presence.ts'),
  ]);
  return connectRedis(url, { name, timeoutMs: REDIS_DEADLINE_MS });
}

/** Where the secret is under which keys are kept. */
export function secretOf({ auth, dataDir }: Config): SecretSource {
  return { configured: auth.secret, dataDir };
}

function catalogOf(config: Config): Catalog {
  return new Catalog(config, loadPriceTable());
}

/** The simulated provider is a server of the worker's own: its base URL is known once it listens. */
async function withSimulated(
  providers: readonly ProviderConfig[],
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<{ readonly providers: readonly ProviderConfig[]; readonly stopProviders: () => Promise<void> }> {
  const isOurs = ({ name, baseUrl }: ProviderConfig): boolean => name === SIMULATED.name && baseUrl === undefined;
  if (!providers.some(isOurs)) return { providers, stopProviders: () => Promise.resolve() };
  const { startSimulatedProvider } = await import('../services/workers/simulated/server.ts');
  const server = await startSimulatedProvider(deps);
  const { baseUrl } = server;
  return {
    providers: providers.map((provider) => (isOurs(provider) ? { ...provider, baseUrl } : provider)),
    stopProviders: () => server.stop(),
  };
}
