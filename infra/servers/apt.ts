import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Log } from '../../shared/log.ts';
import { findExecutable } from './executable.ts';
import { withLock } from './lock.ts';
import { runTool } from './process.ts';

/** Fresh package lists are some 10 MB to fetch and 150 MB to unpack: slow networks and disks need a while. */
const LISTS_TIMEOUT_MS = 180_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
/** Another process may be fetching the same packages, lists and all. */
const LOCK_WAIT_MS = LISTS_TIMEOUT_MS + 2 * DOWNLOAD_TIMEOUT_MS;

/**
 * Fetches packages of this Debian or Ubuntu and unpacks them into `into`, without root and without installing
 * anything. Does nothing when `into` exists: it appears complete or not at all.
 * Throws where there is no apt, or when it cannot fetch them.
 */
export async function fetchAptPackages(
  packages: readonly string[],
  into: string,
  options: { readonly env: NodeJS.ProcessEnv; readonly log: Pick<Log, 'info'> },
): Promise<void> {
  if (existsSync(into)) return;
  for (const tool of ['apt-get', 'dpkg']) {
    if ((await findExecutable(tool, options.env)) === undefined) throw new Error(`${tool} is not on PATH`);
  }
  await mkdir(dirname(into), { recursive: true });
  await withLock(`${into}.lock`, LOCK_WAIT_MS, async () => {
    if (existsSync(into)) return;
    options.log.info({ packages }, 'fetching packages with apt-get (no root needed)');
    const work = `${into}.${randomUUID()}`;
    const downloads = join(work, 'downloads');
    const root = join(work, 'root');
    await mkdir(downloads, { recursive: true });
    await mkdir(root);
    try {
      await download(packages, downloads, work);
      for (const file of await readdir(downloads)) {
        if (file.endsWith('.deb')) await runTool('dpkg', ['-x', join(downloads, file), root]);
      }
      await rename(root, into);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}

async function download(packages: readonly string[], downloads: string, work: string): Promise<void> {
  // As root apt would drop to a user of its own, who may not write here.
  const sameUser = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : [];
  const fetch = (options: readonly string[]): Promise<string> =>
    runTool('apt-get', [...sameUser, ...options, 'download', ...packages], {
      cwd: downloads,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
  try {
    await fetch([]);
  } catch {
    // No package lists on this machine (images delete them), or lists too old: lists of our own, gone afterwards.
    const privateLists = await makePrivateLists(work);
    await runTool('apt-get', [...sameUser, ...privateLists, 'update'], { timeoutMs: LISTS_TIMEOUT_MS });
    await fetch(privateLists);
  }
}

async function makePrivateLists(work: string): Promise<string[]> {
  const lists = join(work, 'apt', 'lists');
  const archives = join(work, 'apt', 'archives');
  await mkdir(join(lists, 'partial'), { recursive: true });
  await mkdir(join(archives, 'partial'), { recursive: true });
  return [
    `Dir::State::lists=${lists}`,
    `Dir::Cache=${join(work, 'apt')}`,
    `Dir::Cache::archives=${archives}`,
    'Dir::State::status=/var/lib/dpkg/status',
  ].flatMap((option) => ['-o', option]);
}
