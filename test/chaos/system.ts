import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { startNats } from '../../infra/servers/nats.ts';
import { startPostgres } from '../../infra/servers/postgres.ts';
import { startRedis } from '../../infra/servers/redis.ts';
import { createLog } from '../../shared/log.ts';
import type { Role } from '../../shared/subjects.ts';
import { Deployment } from '../support/deployment.ts';
import { startNatsCluster } from '../support/nats-cluster.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { Restartable } from '../support/restartable.ts';

/** Output tokens of each answer. */
export const TOKENS = 10;
/** A request that has no end by then gets 504; the clients of the load wait five seconds longer (support/load.ts). */
const DEADLINE = '15s';
/** What the faulty provider is granted: short, so that a fault of a few seconds tries every limit. */
const PATIENCE = { connect: '1s', first_token: '1s', between_tokens: '1s', total: '3s' };
const INSTANCES = { ledger: 1, router: 2, worker: 2, ingress: 2 } as const;

export interface SystemOptions {
  /** One route each, by whose name its requests are told from the others'. */
  readonly models: readonly string[];
  readonly isCluster: boolean;
  readonly hasRedis: boolean;
  /** Instances of each service; by default two of each, and one ledger. */
  readonly instances?: Readonly<Record<Role, number>>;
  /** More of the configuration. */
  readonly yaml?: string;
}

/**
 * The gateway as it runs in production, each service a process, on servers of its own (never in Docker: they are killed).
 * Each route has two providers in order; both are one scripted server, and `configure()` of it strikes the first alone.
 */
export class System {
  readonly provider: ScriptedProvider;
  /** One, or three of a cluster; every service is given the first one's address alone. */
  readonly nats: readonly Restartable[];
  readonly postgres: Restartable;
  readonly redis: Restartable | undefined;
  readonly gateway: Deployment;
  readonly #undo: ReadonlyArray<() => Promise<void>>;

  static async start(options: SystemOptions): Promise<System> {
    const undo: Array<() => Promise<void>> = [];
    try {
      return await System.#start(options, undo);
    } catch (cause) {
      await stopAll(undo);
      throw cause;
    }
  }

  static async #start(options: SystemOptions, undo: Array<() => Promise<void>>): Promise<System> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-chaos-'));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    const provider = await startProvider({ defaults: `n=${TOKENS}&ttft=40&itl=25&ts=1`, record: 200_000 });
    undo.push(() => provider.stop());
    const stopLater = async (starting: Promise<Restartable>): Promise<Restartable> => {
      const server = await starting;
      undo.push(() => server.stop());
      return server;
    };
    const servers = ownServers(folder);
    const [nats, postgres, redis] = await Promise.all([
      options.isCluster
        ? startNatsCluster(folder).then((all) => Promise.all(all.map((each) => stopLater(Promise.resolve(each)))))
        : Promise.all([stopLater(servers.nats())]),
      stopLater(servers.postgres()),
      options.hasRedis ? stopLater(servers.redis()) : undefined,
    ]);
    const gateway = await Deployment.start({
      yaml: `${configOf(options.models, provider)}${options.yaml ?? ''}`,
      natsUrl: nats[0]?.url ?? '',
      databaseUrl: postgres.url,
      ...(redis === undefined ? {} : { redisUrl: redis.url }),
      instances: options.instances ?? INSTANCES,
    });
    undo.push(() => gateway.stop());
    return new System({ provider, nats, postgres, redis, gateway }, undo);
  }

  private constructor(
    parts: Pick<System, 'provider' | 'nats' | 'postgres' | 'redis' | 'gateway'>,
    undo: ReadonlyArray<() => Promise<void>>,
  ) {
    this.provider = parts.provider;
    this.nats = parts.nats;
    this.postgres = parts.postgres;
    this.redis = parts.redis;
    this.gateway = parts.gateway;
    this.#undo = undo;
  }

  stop(): Promise<void> {
    return stopAll(this.#undo);
  }
}

async function stopAll(undo: ReadonlyArray<() => Promise<void>>): Promise<void> {
  // What does not stop must not keep the rest from it.
  for (const step of undo.toReversed()) await step().catch(() => undefined);
}

function ownServers(folder: string): Record<'nats' | 'postgres' | 'redis', () => Promise<Restartable>> {
  const log = createLog('silent', 'test-servers');
  const cacheDir = defaultCacheDir(process.env);
  return {
    nats: () => Restartable.start((port) => startNats({ dataDir: folder, cacheDir, log, port })),
    postgres: () =>
      Restartable.start((port) => startPostgres({ dataDir: folder, log, port, settings: { fsync: 'off' } })),
    redis: () => Restartable.start((port) => startRedis({ cacheDir, log, port })),
  };
}

/** YAML takes JSON as it is. */
function configOf(names: readonly string[], provider: ScriptedProvider): string {
  const models = Object.fromEntries(names.map((name) => [name, { price: { input: '1 USD', output: '2 USD' } }]));
  const providers = {
    first: { base_url: `${provider.url}/m/up=first/v1`, timeouts: PATIENCE, models },
    // Its path says `seq=`, no fault, which goes before what `configure()` says.
    second: { base_url: `${provider.url}/m/up=second&seq=&itl=25/v1`, models },
  };
  const routes = Object.fromEntries(
    names.map((name) => [
      name,
      { targets: [`first/${name}`, `second/${name}`], strategy: 'ordered', timeout: DEADLINE },
    ]),
  );
  return `providers: ${JSON.stringify(providers)}\nroutes: ${JSON.stringify(routes)}\n`;
}
