import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../shared/log.ts';
import { fetchAptPackages } from './apt.ts';
import { findExecutable } from './executable.ts';
import { freePort, LOOPBACK, waitForPort, waitUntilReady } from './port.ts';
import { runTool, ServerStartError, spawnServer } from './process.ts';

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  readonly source: 'PATH' | 'apt';
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

export interface RedisBinary {
  readonly path: string;
  readonly source: RedisServer['source'];
  readonly env: NodeJS.ProcessEnv;
}

const PACKAGES = ['redis-server', 'redis-tools', 'liblzf1', 'libjemalloc2', 'libatomic1'];
const READY_TIMEOUT_MS = 10_000;
/** A database number per test file; the default of 16 is soon used up, an empty one costs a few hundred bytes. */
export const REDIS_DATABASES = 1_024;

/** Starts a Redis that keeps nothing, on 127.0.0.1. Only tests need one: the embedded gateway limits in process. */
export async function startRedis(options: {
  readonly cacheDir: string;
  readonly log: Pick<Log, 'info' | 'warn' | 'debug'>;
  readonly env?: NodeJS.ProcessEnv;
  /** By default a free one. */
  readonly port?: number | undefined;
}): Promise<RedisServer> {
  const { log, cacheDir, env = process.env } = options;
  const binary = await findRedis(cacheDir, env, log);
  const said = await runTool(binary.path, ['--version'], { env: binary.env });
  const version = /v=(\S+)/.exec(said)?.[1] ?? 'unknown';
  const port = options.port ?? (await freePort());
  const child = await spawnServer({
    name: 'redis-server',
    command: binary.path,
    args: [
      ...['--port', String(port), '--bind', LOOPBACK, '--databases', String(REDIS_DATABASES)],
      ...['--save', '', '--appendonly', 'no', '--dir', tmpdir()],
    ],
    env: binary.env,
    deathSignal: 'SIGTERM',
    log,
  });
  try {
    await waitUntilReady({ name: 'redis-server', process: child, timeoutMs: READY_TIMEOUT_MS }, () =>
      waitForPort(port, 0),
    );
  } catch (cause) {
    await child.stop(['SIGTERM', 2_000]);
    throw cause;
  }
  log.info({ port, pid: child.pid, version, source: binary.source }, 'redis-server started');
  return {
    url: `redis://${LOOPBACK}:${port}`,
    port,
    pid: child.pid,
    version,
    source: binary.source,
    exited: child.exited,
    stop: () => child.stop(['SIGTERM', 2_000]),
  };
}

/** Installed, or fetched now. Throws when there is none. */
export async function findRedis(
  cacheDir: string,
  env: NodeJS.ProcessEnv,
  log: Pick<Log, 'info'>,
): Promise<RedisBinary> {
  const installed = await findExecutable('redis-server', env, ['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']);
  if (installed !== undefined) return { path: installed, source: 'PATH', env };
  const root = join(cacheDir, 'redis-server', 'apt');
  try {
    await fetchAptPackages(PACKAGES, root, { env, log });
  } catch (cause) {
    throw new ServerStartError(
      `No redis-server found: \`brew install redis\` or \`apt-get install redis-server\`, or run Docker (${String(cause)})`,
      { cause },
    );
  }
  // The libraries lie in a folder named after the architecture: usr/lib/x86_64-linux-gnu.
  const libraries = join(root, 'usr', 'lib');
  const folders = (await readdir(libraries)).filter((name) => name.includes('-linux-'));
  return {
    path: join(root, 'usr', 'bin', 'redis-server'),
    source: 'apt',
    env: { ...env, LD_LIBRARY_PATH: folders.map((name) => join(libraries, name)).join(':') },
  };
}
