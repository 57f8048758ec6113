import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findExecutable } from './executable.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { runTool, ServerStartError } from './process.ts';

/** How to run Postgres' programs: it refuses to run as root. */
export interface RunAs {
  readonly wrap: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

/** `nobody`, by number: the same everywhere we meet root (containers, Linux servers). */
const NOBODY = 65534;

/**
 * Whom to run as. Not root: ourselves. Root: `nobody` in a user namespace of its own, where our files appear as
 * its own, even under a folder only root may enter; where namespaces are refused (most containers), the real
 * `nobody`, who then owns the folder. A folder that belongs to somebody already keeps its owner.
 */
export async function chooseRunAs(home: string, binaries: PostgresBinaries): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { wrap: [] };
  const { uid, gid } = await stat(home);
  const hasOwner = uid !== 0;
  if (!hasOwner) {
    const namespace = await userNamespace();
    if (namespace !== undefined) return { wrap: namespace };
  }
  const owner = hasOwner ? { uid, gid } : { uid: NOBODY, gid: NOBODY };
  for (const path of [home, binaries.postgres]) await requirePassage(path, owner.uid);
  if (!hasOwner) await runTool('chown', ['-R', `${NOBODY}:${NOBODY}`, home]);
  return { wrap: [], ...owner };
}

/** Postgres would only say "Permission denied"; this says where. */
async function requirePassage(path: string, uid: number): Promise<void> {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    const info = await stat(folder);
    if (info.uid === uid || (info.mode & 0o001) !== 0) continue;
    throw new ServerStartError(
      `Postgres does not run as root, and user ${uid} may not enter ${folder}: start as an ordinary user, ` +
        `\`chmod o+x ${folder}\`, or set DATABASE_URL to a Postgres server`,
    );
  }
}

async function userNamespace(): Promise<string[] | undefined> {
  const unshare = await findExecutable('unshare', process.env);
  if (unshare === undefined) return undefined;
  const wrap = [unshare, '-U', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`];
  const [, ...args] = wrap;
  return runTool(unshare, [...args, 'true']).then(
    () => wrap,
    () => undefined, // refused by the kernel or the container, or an unshare without these options
  );
}
