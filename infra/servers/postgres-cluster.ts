import { chown, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../shared/log.ts';
import { isErrno } from './errno.ts';
import { identify, runsWith, stopLeftover } from './identity.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { RunAs } from './postgres-user.ts';
import { ServerStartError, spawnServer } from './process.ts';
import type { StopStep } from './process.ts';

/**
 * Fast shutdown: sessions are ended, a checkpoint is written. On a slow disk that takes a while; then the immediate
 * one, after which the next start recovers from the log. Neither loses a commit.
 */
export const POSTGRES_STOP: readonly StopStep[] = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5_000],
];

/** A slow disk needs some seconds for what takes half a second elsewhere. */
const INITDB_TIMEOUT_MS = 120_000;
const TEMPORARY = 'initdb-';

export interface Cluster {
  /** The server's folder under `data_dir`; our files lie beside `path`. */
  readonly home: string;
  /** Postgres' own data directory. */
  readonly path: string;
  readonly passwordFile: string;
}

/** True when the data directory is there and this server can read it; throws when it was made by another version. */
export async function clusterExists(cluster: Cluster, binaries: PostgresBinaries): Promise<boolean> {
  let made: string;
  try {
    made = (await readFile(join(cluster.path, 'PG_VERSION'), 'utf8')).trim();
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return false;
    throw cause;
  }
  const [major] = binaries.version.split('.');
  if (made !== major) {
    throw new ServerStartError(
      `${cluster.path} was made by Postgres ${made}, this is ${binaries.version}: ` +
        'dump it with the old version and restore into the new, or move the folder away to start empty',
    );
  }
  return true;
}

/** Makes the data directory. It appears complete or not at all, so a start cut short does not block the next one. */
export async function createCluster(
  cluster: Cluster,
  options: { binaries: PostgresBinaries; runAs: RunAs; env: NodeJS.ProcessEnv; log: Pick<Log, 'debug'> },
): Promise<void> {
  for (const name of await readdir(cluster.home)) {
    if (name.startsWith(TEMPORARY)) await rm(join(cluster.home, name), { recursive: true, force: true });
  }
  const temporary = await mkdtemp(join(cluster.home, TEMPORARY));
  const { uid, gid } = options.runAs;
  if (uid !== undefined && gid !== undefined) {
    await chown(temporary, uid, gid);
    await chown(cluster.passwordFile, uid, gid);
  }
  const initdb = await spawnServer({
    ...options.runAs,
    name: 'initdb',
    command: options.binaries.initdb,
    args: [
      ...['-D', temporary, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${cluster.passwordFile}`],
      // The built-in locale is the same on every machine; those of the system differ or are missing.
      ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
    ],
    env: options.env,
    cwd: cluster.home,
    deathSignal: 'SIGTERM',
    log: options.log,
  });
  const timer = setTimeout(() => void initdb.stop(['SIGTERM', 2_000]), INITDB_TIMEOUT_MS);
  const ending = await initdb.exited;
  clearTimeout(timer);
  if (ending !== 'exit code 0') {
    await rm(temporary, { recursive: true, force: true });
    throw new ServerStartError(`initdb failed (${ending}):\n${initdb.lastLines()}`);
  }
  await rename(temporary, cluster.path);
}

/**
 * Stops the server a killed parent left running on this data directory, and sees to it that its postmaster.pid does
 * not block the start. Postgres does the latter itself unless that pid belongs to some other program by now, which is
 * the rule in a container, where pids start from 1 each time.
 */
export async function clearLeftover(cluster: Cluster, log: Pick<Log, 'warn'>): Promise<void> {
  const pidFile = join(cluster.path, 'postmaster.pid');
  let lines: string[];
  try {
    lines = (await readFile(pidFile, 'utf8')).split('\n');
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return;
    throw cause;
  }
  const pid = Number(lines[0]);
  const words = ['-D', cluster.path];
  if (await stopLeftover({ name: 'postgres', pid, words }, POSTGRES_STOP, log)) return;
  const other = await identify(pid);
  if (other === undefined || runsWith(other, words)) return;
  log.warn({ pid }, 'postmaster.pid names a process that is not Postgres; taken as left over');
  // Not deleted: Postgres takes its parent's pid for a stale one, and then still checks by the shared memory named in
  // the file that no orphaned session of the dead server is at work.
  await writeFile(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'));
}
