import { readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../shared/log.ts';
import { makeHome } from './home.ts';
import { stopLeftover } from './identity.ts';
import { acquireLock } from './lock.ts';
import { findNatsServer } from './nats-binary.ts';
import type { NatsBinary } from './nats-binary.ts';
import { natsReady } from './nats-ready.ts';
import { freePort, LOOPBACK, waitUntilReady } from './port.ts';
import { ServerStartError, spawnServer } from './process.ts';
import type { ServerProcess, StopStep } from './process.ts';
import { readOrCreateSecret } from './secret.ts';

export interface StartNatsOptions {
  /** The project's data folder; the server keeps its files in `nats/` under it. */
  readonly dataDir: string;
  readonly cacheDir: string;
  readonly log: Pick<Log, 'info' | 'warn' | 'debug'>;
  readonly env?: NodeJS.ProcessEnv;
  /** By default a free one. */
  readonly port?: number | undefined;
  /** Bytes of one message. */
  readonly maxPayload?: number;
  /** Bytes JetStream may use on disk; publishing to a stream fails at it. */
  readonly maxStoreBytes?: number;
  /** By default found or fetched. */
  readonly binary?: NatsBinary;
}

export interface NatsServer {
  /** With user and password. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  readonly source: NatsBinary['source'];
  readonly binary: string;
  /** How it ended, whoever ended it; never rejects. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

const USER = 'sluice';
const READY_TIMEOUT_MS = 30_000;
const STOP: StopStep = ['SIGTERM', 5_000];

/** Starts nats-server with JetStream on 127.0.0.1. What a killed predecessor left running on this folder is stopped first. */
export async function startNats(options: StartNatsOptions): Promise<NatsServer> {
  const startedAt = performance.now();
  const { log, env = process.env } = options;
  const binary = options.binary ?? (await findNatsServer({ cacheDir: options.cacheDir, env, log }));
  const home = await makeHome(options.dataDir, 'nats');
  const lock = await acquireLock(join(home, 'lock'), `the NATS data folder ${home}`);
  try {
    const conf = join(home, 'nats.conf');
    const pidFile = join(home, 'nats.pid');
    await stopLeftover({ name: 'nats-server', pid: await readPid(pidFile), words: ['-c', conf] }, [STOP], log);
    await rm(pidFile, { force: true });
    const password = await readOrCreateSecret(join(home, 'password'));
    const { port, child, version } = await retryTakenPort(options.port, async (port) => {
      await writeFile(conf, natsConf({ ...options, home, pidFile, port, password }), { mode: 0o600 });
      const child = await spawnServer({
        name: 'nats-server',
        command: binary.path,
        args: ['-c', conf],
        env: { ...goThreads(), ...env },
        deathSignal: 'SIGTERM',
        log,
      });
      try {
        const ready = { name: 'nats-server', process: child, timeoutMs: READY_TIMEOUT_MS };
        return { port, child, version: await waitUntilReady(ready, () => natsReady({ port, user: USER, password })) };
      } catch (cause) {
        await child.stop(STOP);
        throw cause;
      }
    });
    const durationMs = Math.round(performance.now() - startedAt);
    log.info({ port, pid: child.pid, version, source: binary.source, durationMs }, 'nats-server started');
    return {
      url: `nats://${USER}:${password}@${LOOPBACK}:${port}`,
      port,
      pid: child.pid,
      version,
      source: binary.source,
      binary: binary.path,
      exited: child.exited,
      stop: async () => {
        await child.stop(STOP);
        await lock.release();
      },
    };
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

/**
 * On a machine of one or two cores the server's threads look for work of each other's on the very core that the gateway
 * runs on: with one of them the broker takes a quarter less CPU, and a saturated gateway serves a fifth more.
 */
function goThreads(): NodeJS.ProcessEnv {
  return availableParallelism() <= 2 ? { GOMAXPROCS: '1' } : {};
}

/** Between finding a free port and listening on it another process may take it; a port that was asked for is not swapped. */
async function retryTakenPort<T extends { child: ServerProcess }>(
  wanted: number | undefined,
  start: (port: number) => Promise<T>,
): Promise<T> {
  for (let triesLeft = 2; ; triesLeft--) {
    try {
      return await start(wanted ?? (await freePort()));
    } catch (cause) {
      const isTaken = cause instanceof ServerStartError && cause.message.includes('address already in use');
      if (!isTaken || wanted !== undefined || triesLeft === 0) throw cause;
    }
  }
}

interface NatsConf {
  readonly home: string;
  readonly pidFile: string;
  readonly port: number;
  readonly password: string;
  readonly maxPayload?: number;
  readonly maxStoreBytes?: number;
}

/** Only settings that 2.9 knows too: an unknown one stops the server. JSON strings are valid in this format. */
function natsConf({
  home,
  pidFile,
  port,
  password,
  maxPayload = 1 << 20,
  maxStoreBytes = 8 * 2 ** 30,
}: NatsConf): string {
  return `# Written at each start; changes are lost.
listen: "${LOOPBACK}:${port}"
server_name: "sluice-embedded"
pid_file: ${JSON.stringify(pidFile)}
max_payload: ${maxPayload}
write_deadline: "10s"
authorization { user: "${USER}", password: "${password}" }
jetstream {
  store_dir: ${JSON.stringify(join(home, 'store'))}
  max_memory_store: ${64 << 20}
  max_file_store: ${maxStoreBytes}
}
`;
}

/** 0 when there is none: no process has that pid. */
async function readPid(path: string): Promise<number> {
  return Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10) || 0;
}
