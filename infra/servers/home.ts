import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A server's own folder under the data folder, for its owner only, as its real path: that identifies a server left
 * behind, however the folder was spelled when it was started.
 */
export async function makeHome(dataDir: string, name: string): Promise<string> {
  const home = join(dataDir, name);
  // Not closed: a server that runs as another user than we do passes through it.
  await mkdir(dataDir, { recursive: true });
  await mkdir(home, { recursive: true, mode: 0o700 });
  return realpath(home);
}
