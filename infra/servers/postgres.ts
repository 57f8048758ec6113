import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../shared/log.ts';
import { makeHome } from './home.ts';
import { acquireLock } from './lock.ts';
import { freePort, LOOPBACK, waitUntilReady } from './port.ts';
import { findPostgres } from './postgres-binaries.ts';
import { clearLeftover, clusterExists, createCluster, POSTGRES_STOP } from './postgres-cluster.ts';
import type { Cluster } from './postgres-cluster.ts';
import { databaseUrl, ensureDatabase, isWrongPassword } from './postgres-database.ts';
import { chooseRunAs } from './postgres-user.ts';
import { ServerStartError, spawnServer } from './process.ts';
import type { ServerCommand, ServerProcess } from './process.ts';
import { readOrCreateSecret } from './secret.ts';

export interface StartPostgresOptions {
  /** The project's data folder; the server keeps its files in `postgres/` under it. */
  readonly dataDir: string;
  readonly log: Pick<Log, 'info' | 'warn' | 'debug'>;
  readonly env?: NodeJS.ProcessEnv;
  /** By default a free one. */
  readonly port?: number | undefined;
  /** Server settings on top of ours: `{ fsync: 'off' }` in tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface PostgresServer {
  /** The database `sluice`, with user and password. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  /** How it ended, whoever ended it; never rejects. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

const DATABASE = 'sluice';
/** After a crash the log is replayed first; with our checkpoint distance that is seconds. */
const READY_TIMEOUT_MS = 60_000;

/** For one small machine shared with the gateway. Safety (fsync, synchronous_commit, full_page_writes) stays as Postgres has it. */
const SETTINGS = {
  listen_addresses: LOOPBACK,
  unix_socket_directories: '',
  shared_buffers: '64MB',
  max_connections: '50',
  max_wal_size: '512MB',
  huge_pages: 'off',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/**
 * Starts the embedded Postgres on 127.0.0.1, making its data directory at first. What a killed predecessor left running
 * on this folder is stopped first; a second start on a folder in use throws `LockedError`.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<PostgresServer> {
  const startedAt = performance.now();
  const { log } = options;
  const binaries = await findPostgres();
  const home = await makeHome(options.dataDir, 'postgres');
  const cluster: Cluster = { home, path: join(home, 'cluster'), passwordFile: join(home, 'password') };
  const lock = await acquireLock(join(home, 'lock'), `the Postgres data folder ${home}`);
  try {
    const exists = await clusterExists(cluster, binaries);
    if (exists && !existsSync(cluster.passwordFile)) {
      throw new ServerStartError(
        `${cluster.passwordFile} is missing: restore it, or move ${cluster.path} away to start empty`,
      );
    }
    const password = await readOrCreateSecret(cluster.passwordFile);
    const runAs = await chooseRunAs(home, binaries);
    const env = withoutPostgresVariables(options.env ?? process.env);
    if (exists) await clearLeftover(cluster, log);
    else await createCluster(cluster, { binaries, runAs, env, log });
    const initializedAt = performance.now();

    const settings = Object.entries({ ...SETTINGS, ...options.settings });
    const server = await spawnUntilReady(
      {
        ...runAs,
        name: 'postgres',
        command: binaries.postgres,
        args: ['-D', cluster.path, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
        env,
        cwd: home,
        // Fast shutdown; SIGTERM would wait for other people's sessions to end.
        deathSignal: 'SIGINT',
        log,
      },
      { port: options.port, password },
    );
    log.info(
      {
        port: server.port,
        pid: server.child.pid,
        version: binaries.version,
        initdbMs: exists ? 0 : Math.round(initializedAt - startedAt),
        durationMs: Math.round(performance.now() - startedAt),
      },
      'postgres started',
    );
    return {
      url: databaseUrl(server.url, DATABASE),
      port: server.port,
      pid: server.child.pid,
      version: binaries.version,
      exited: server.child.exited,
      stop: async () => {
        await server.child.stop(...POSTGRES_STOP);
        await lock.release();
      },
    };
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

interface Running {
  readonly child: ServerProcess;
  readonly port: number;
  readonly url: string;
}

/** A port taken between finding and using it, and sessions that outlive their killed server for a moment, are worth another try. */
async function spawnUntilReady(
  command: ServerCommand,
  { port: wanted, password }: { port: number | undefined; password: string },
): Promise<Running> {
  for (let triesLeft = 10; ; triesLeft--) {
    const port = wanted ?? (await freePort());
    const url = `postgres://postgres:${password}@${LOOPBACK}:${port}/postgres`;
    const child = await spawnServer({ ...command, args: [...command.args, '-p', String(port)] });
    try {
      await waitUntilReady({ name: 'postgres', process: child, timeoutMs: READY_TIMEOUT_MS }, async () => {
        try {
          await ensureDatabase(url, DATABASE);
        } catch (cause) {
          if (!isWrongPassword(cause)) throw cause;
          throw new ServerStartError(
            'the kept password is not the one of this data folder; restore the password file',
            { cause },
          );
        }
      });
      return { child, port, url };
    } catch (cause) {
      await child.stop(...POSTGRES_STOP);
      const said = child.lastLines();
      const isPassing =
        said.includes('shared memory block') || (wanted === undefined && said.includes('Address already in use'));
      if (!isPassing || triesLeft === 0) throw cause;
      await sleep(250);
    }
  }
}

/** PGDATA, PGPORT, PGOPTIONS … of the user's own Postgres are not meant for this one. */
function withoutPostgresVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('PG')));
}
