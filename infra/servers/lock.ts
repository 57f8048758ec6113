import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { isErrno } from './errno.ts';
import { identify } from './identity.ts';

/** Somebody alive holds the lock. */
export class LockedError extends Error {
  override name = 'LockedError';
}

export interface HeldLock {
  release(): Promise<void>;
}

const Holder = z.object({ pid: z.int().positive(), startedAt: z.string() });
type Holder = z.infer<typeof Holder>;

/** A lock file is written in one go right after it is created; one still unreadable after this was left by a crash. */
const HALF_WRITTEN_MS = 2_000;

/**
 * Takes the lock file at `path`, or throws `LockedError`. The file names its holder by pid and start time, so a lock
 * left by `kill -9` blocks nobody. `what` completes the sentence "… is in use by process 7".
 */
export async function acquireLock(path: string, what: string): Promise<HeldLock> {
  const self = await identify(process.pid);
  const mine = JSON.stringify({ pid: process.pid, startedAt: self?.startedAt ?? '' } satisfies Holder);
  for (let tries = 0; tries < 5; tries++) {
    try {
      await writeFile(path, mine, { flag: 'wx', mode: 0o600 });
      let isHeld = true;
      return {
        // A second release must not take away the lock of the next holder.
        release: async () => {
          if (isHeld) await rm(path, { force: true });
          isHeld = false;
        },
      };
    } catch (cause) {
      if (!isErrno(cause, 'EEXIST')) throw cause;
    }
    const content = await readIfThere(path);
    if (content === undefined) continue;
    const holder = await livingHolder(path, content);
    if (holder !== undefined)
      throw new LockedError(`${what} is in use by process ${holder}; stop that one first (${path})`);
    await removeStale(path, content);
  }
  throw new LockedError(`${what} is being locked by several processes at once (${path})`);
}

/** Runs `work` while holding the lock, waiting for it up to `waitMs`. */
export async function withLock<T>(path: string, waitMs: number, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(path, waitMs);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function waitForLock(path: string, waitMs: number): Promise<HeldLock> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      return await acquireLock(path, dirname(path));
    } catch (cause) {
      if (!(cause instanceof LockedError) || performance.now() > deadline) throw cause;
    }
    await sleep(50);
  }
}

/** The pid of the holder; undefined when the lock is stale. */
async function livingHolder(path: string, content: string): Promise<number | string | undefined> {
  const holder = parseHolder(content);
  if (holder === undefined) {
    const age = await stat(path).then(
      (info) => Date.now() - info.mtimeMs,
      () => Infinity, // released meanwhile
    );
    return age < HALF_WRITTEN_MS ? '(starting)' : undefined;
  }
  const found = await identify(holder.pid);
  return found?.startedAt === holder.startedAt ? holder.pid : undefined;
}

/** Two may find the same stale lock: the one that moved a fresh lock away by mistake puts it back. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return;
    throw cause;
  }
  const moved = await readIfThere(aside);
  if (moved !== undefined && moved !== stale)
    await writeFile(path, moved, { flag: 'wx', mode: 0o600 }).catch(() => undefined);
  await rm(aside, { force: true });
}

function parseHolder(content: string): Holder | undefined {
  try {
    return Holder.parse(JSON.parse(content));
  } catch {
    // Empty or cut off: the caller decides by its age.
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined;
    throw cause;
  }
}
