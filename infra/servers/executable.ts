import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** The first executable file of that name on PATH, then in `elsewhere` (system folders an ordinary PATH leaves out). */
export async function findExecutable(
  name: string,
  env: NodeJS.ProcessEnv,
  elsewhere: readonly string[] = [],
): Promise<string | undefined> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, ...elsewhere]) {
    const path = join(folder, name);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Absent, or not for us: either way the search goes on.
    return false;
  }
}
