import { access, constants, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { isErrno } from '../servers/errno.ts';
import { reasonOf } from '../unreachable.ts';
import { fail, ok, warn } from './check.ts';
import type { Check, Patient } from './check.ts';

const NEEDED_NODE = 26;
const GIB = 1024 ** 3;
/** Below the first, a busy day may fill it; below the second, embedded Postgres may not even start. */
const LOW_DISK_BYTES = 2 * GIB;
const NO_DISK_BYTES = GIB / 4;

export function checkNode(version: string = process.versions.node): Check {
  const major = Number(version.split('.', 1)[0]);
  if (major >= NEEDED_NODE) return ok('node', version);
  return fail('node', `${version} is too old`, `run it as \`npx sluice\` or install Node ${NEEDED_NODE}`);
}

/** Only matters where something embedded keeps its data there. */
export async function checkDataDir({ config: { dataDir, nats, database } }: Patient): Promise<Check> {
  const name = 'data folder';
  if (nats.url !== undefined && database.url !== undefined) return ok(name, 'not used: NATS and Postgres are yours');
  try {
    const folder = await nearestFolder(dataDir);
    if (!(await stat(folder)).isDirectory())
      return fail(name, `${folder} is a file`, 'name a folder: data_dir, SLUICE_DATA_DIR or --data-dir');
    await access(folder, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    const detail = `${dataDir}${folder === dataDir ? '' : ' (made at the first start)'}, ${(free / GIB).toFixed(1)} GiB free`;
    const fix = 'free some space, or put data_dir on another disk';
    if (free < NO_DISK_BYTES) return fail(name, detail, fix);
    return free < LOW_DISK_BYTES ? warn(name, detail, fix) : ok(name, detail);
  } catch (failure) {
    return fail(
      name,
      `${dataDir} cannot be written: ${reasonOf(failure)}`,
      'change its owner, or set data_dir (SLUICE_DATA_DIR)',
    );
  }
}

/** The folder itself, or the one in which it would be made. */
async function nearestFolder(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT') || dirname(path) === path) throw cause;
    return nearestFolder(dirname(path));
  }
}

export async function checkPort({ config: { server }, gateway }: Patient): Promise<Check> {
  const { host, port } = server;
  if (port === 0) return ok('port', 'the system chooses one');
  if (gateway !== undefined && new URL(gateway.url).port === String(port)) {
    return ok('port', `${port}: the gateway that runs here (process ${gateway.pid}) listens on it`);
  }
  const failure = await listenOnce(host, port);
  if (failure === undefined) return ok('port', `${host}:${port} is free`);
  const another = 'choose another: server.port, SLUICE_PORT or --port';
  if (isErrno(failure, 'EADDRINUSE')) return fail('port', `${host}:${port} is taken by another program`, another);
  if (isErrno(failure, 'EACCES')) return fail('port', `${host}:${port} is reserved for root`, another);
  return fail(
    'port',
    `${host}:${port}: ${reasonOf(failure)}`,
    'set server.host (SLUICE_HOST) to an address of this machine',
  );
}

function listenOnce(host: string, port: number): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}
