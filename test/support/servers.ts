import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { findNatsServer } from '../../infra/servers/nats-binary.ts';
import { startNats } from '../../infra/servers/nats.ts';
import { startPostgres } from '../../infra/servers/postgres.ts';
import { findRedis, startRedis } from '../../infra/servers/redis.ts';
import { createLog } from '../../shared/log.ts';
import { dockerAvailable, startNatsContainer, startPostgresContainer, startRedisContainer } from './containers.ts';

/** A real server, wherever it runs. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly version: string;
  stop(): Promise<void>;
}

export interface TestNats extends TestServer {
  /** As `kill -9` does it. What JetStream holds stays on disk. */
  kill(): Promise<void>;
  /** Back on the same port with the same data; also after `kill`. */
  restart(): Promise<void>;
}

/** `docker`: the official images; `local`: programs of this machine, as `npm start` finds them. */
export type ServerKind = 'docker' | 'local';

/** Each server starts when first asked for, once. */
export interface TestServers {
  readonly kind: ServerKind;
  /** One line for the head of a test run. */
  readonly describe: string;
  /** Fetches what is not on this machine yet, so that no test's timeout has to allow for it. Never rejects. */
  prepare(): Promise<void>;
  nats(): Promise<TestNats>;
  postgres(): Promise<TestServer>;
  redis(): Promise<TestServer>;
  stop(): Promise<void>;
}

const log = createLog('warn', 'test-servers');

/** The one place that decides where test servers come from; `SLUICE_TEST_SERVERS=local|docker` overrules it. */
export async function startTestServers(env: NodeJS.ProcessEnv = process.env): Promise<TestServers> {
  const wanted = env['SLUICE_TEST_SERVERS'];
  const hasDocker = wanted === 'docker' || (wanted !== 'local' && (await dockerAvailable(env)));
  const kind: ServerKind = hasDocker ? 'docker' : 'local';
  const started: Promise<TestServer>[] = [];
  const once = <T extends TestServer>(start: () => Promise<T>): (() => Promise<T>) => {
    let server: Promise<T> | undefined;
    return () => {
      if (server === undefined) started.push((server = start()));
      return server;
    };
  };
  return {
    kind,
    describe:
      kind === 'docker'
        ? 'test servers: official images in Docker'
        : 'test servers: local processes (no Docker engine answers, or not wanted)',
    prepare: async () => {
      if (kind === 'docker') return;
      const cacheDir = defaultCacheDir(env);
      // A failure is for the test that needs the server; a run of unit tests goes on without.
      await Promise.allSettled([findNatsServer({ cacheDir, env, log }), findRedis(cacheDir, env, log)]);
    },
    nats: once(() => startTestNats(kind)),
    postgres: once(kind === 'docker' ? startPostgresContainer : startLocalPostgres),
    redis: once(
      kind === 'docker' ? startRedisContainer : () => startRedis({ cacheDir: defaultCacheDir(process.env), log }),
    ),
    stop: async () => {
      // One that did not start has nothing to stop; who asked for it got the error.
      for (const start of await Promise.allSettled(started)) if (start.status === 'fulfilled') await start.value.stop();
    },
  };
}

/** A nats-server of its own, empty. */
export function startTestNats(kind: ServerKind): Promise<TestNats> {
  return kind === 'docker' ? startNatsContainer() : startLocalNats();
}

async function startLocalNats(): Promise<TestNats> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  const start = (port?: number): ReturnType<typeof startNats> =>
    startNats({ dataDir, cacheDir: defaultCacheDir(process.env), log, port });
  let server = await start().catch(removing(dataDir));
  const { url, port, version } = server;
  return {
    url,
    port,
    version,
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
    },
    restart: async () => {
      await server.stop();
      server = await start(port);
    },
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function startLocalPostgres(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  // A killed server loses nothing without fsync, only a machine does; many files share this one.
  const server = await startPostgres({ dataDir, log, settings: { fsync: 'off', max_connections: '200' } }).catch(
    removing(dataDir),
  );
  const { url, port, version } = server;
  return {
    url,
    port,
    version,
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** For a server that did not start: its folder goes, the error stays. */
function removing(folder: string): (cause: unknown) => Promise<never> {
  return async (cause) => {
    await rm(folder, { recursive: true, force: true });
    throw cause;
  };
}
