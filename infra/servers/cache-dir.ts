import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where fetched programs are kept, shared by all checkouts of one user. */
export function defaultCacheDir(env: NodeJS.ProcessEnv): string {
  const own = env['SLUICE_CACHE_DIR'];
  if (own) return own;
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice');
}
