import { join } from 'node:path';
import type { Log } from '../../shared/log.ts';
import { fetchAptPackages } from './apt.ts';
import { findExecutable, isExecutable } from './executable.ts';
import { fetchRelease, NATS_RELEASE_VERSION, natsRelease } from './nats-release.ts';
import type { ReleaseArchive } from './nats-release.ts';
import { runTool, ServerStartError } from './process.ts';

export interface NatsBinary {
  readonly path: string;
  readonly version: string;
  readonly source: 'NATS_SERVER_BIN' | 'PATH' | 'cache' | 'release' | 'apt';
}

export interface FindNatsOptions {
  readonly cacheDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** For tests; by default the pinned release for this machine. */
  readonly release?: ReleaseArchive | undefined;
}

/** Older servers lack what the gateway builds on. */
const OLDEST = { major: 2, minor: 9 };

/** Where packages put servers, and where an ordinary user's PATH does not look. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];

/** A nats-server to run: named, installed, fetched before, or fetched now, in that order. Throws when there is none. */
export async function findNatsServer(options: FindNatsOptions): Promise<NatsBinary> {
  const { env, cacheDir, log } = options;
  const named = env['NATS_SERVER_BIN'];
  if (named) {
    const version = await probe(named);
    if (version === undefined) {
      throw new ServerStartError(
        `NATS_SERVER_BIN=${named} is no nats-server of version ${OLDEST.major}.${OLDEST.minor} or newer`,
      );
    }
    return { path: named, version, source: 'NATS_SERVER_BIN' };
  }

  const installed = await installedOrFetched(options);
  if (installed) return installed;

  const { released, unpacked, packaged } = cachePaths(cacheDir);
  const failures: string[] = [];
  const release = 'release' in options ? options.release : natsRelease(process.platform, process.arch);
  if (release !== undefined) {
    log.info({ url: release.url }, 'fetching nats-server');
    const found = await fetchRelease(release, released).then(
      () => usable(released, 'release', log),
      (cause: unknown) => void failures.push(`release archive: ${describe(cause)}`),
    );
    if (found) return found;
  }
  if (process.platform === 'linux') {
    const found = await fetchAptPackages(['nats-server'], unpacked, options).then(
      () => usable(packaged, 'apt', log),
      (cause: unknown) => void failures.push(`apt: ${describe(cause)}`),
    );
    if (found) return found;
  }
  throw new ServerStartError(
    [
      'No nats-server found, and none could be fetched. Do one of these:',
      '- install it: `brew install nats-server` on macOS, `apt-get install nats-server` on Debian or Ubuntu;',
      '- set NATS_SERVER_BIN to the path of one;',
      '- set NATS_URL to a NATS server that already runs, with JetStream enabled.',
      ...failures.map((failure) => `(${failure})`),
    ].join('\n'),
  );
}

/** The one that a start would use, as far as it is on this machine already: fetches nothing, and throws nothing. */
export async function findInstalledNats(options: Omit<FindNatsOptions, 'release'>): Promise<NatsBinary | undefined> {
  const named = options.env['NATS_SERVER_BIN'];
  const usableNamed = named ? await usable(named, 'NATS_SERVER_BIN', options.log) : undefined;
  return usableNamed ?? installedOrFetched(options);
}

async function installedOrFetched({ env, cacheDir, log }: FindNatsOptions): Promise<NatsBinary | undefined> {
  const installed = await usable(await findExecutable('nats-server', env, SYSTEM_FOLDERS), 'PATH', log);
  if (installed) return installed;
  const { released, packaged } = cachePaths(cacheDir);
  return (await usable(released, 'cache', log)) ?? usable(packaged, 'cache', log);
}

function cachePaths(cacheDir: string): { released: string; unpacked: string; packaged: string } {
  const unpacked = join(cacheDir, 'nats-server', 'apt');
  return {
    released: join(cacheDir, 'nats-server', NATS_RELEASE_VERSION, 'nats-server'),
    unpacked,
    packaged: join(unpacked, 'usr', 'sbin', 'nats-server'),
  };
}

async function usable(
  path: string | undefined,
  source: NatsBinary['source'],
  log: Pick<Log, 'warn'>,
): Promise<NatsBinary | undefined> {
  if (path === undefined || !(await isExecutable(path))) return undefined;
  const version = await probe(path);
  if (version !== undefined) return { path, version, source };
  log.warn({ path }, 'this nats-server does not run, or is too old; looking for another');
  return undefined;
}

/** Its version; undefined when it does not run or is too old. */
async function probe(path: string): Promise<string | undefined> {
  const said = await runTool(path, ['--version'], { timeoutMs: 10_000 }).catch(() => '');
  // `nats-server: v2.14.5`
  const [, version, major, minor] = /v?((\d+)\.(\d+)\.\d+\S*)/.exec(said) ?? [];
  if (version === undefined) return undefined;
  const isNewEnough = Number(major) > OLDEST.major || (Number(major) === OLDEST.major && Number(minor) >= OLDEST.minor);
  return isNewEnough ? version : undefined;
}

/** fetch() says only "fetch failed"; the reason is its cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.message === 'fetch failed'
    ? `${error.message}: ${error.cause.message}`
    : error.message;
}
