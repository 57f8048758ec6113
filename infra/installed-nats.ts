import { join } from 'node:path';
import { defaultCacheDir } from './servers/cache-dir.ts';
import { findExecutable, isExecutable } from './servers/executable.ts';
import { NATS_RELEASE_VERSION } from './servers/nats-release.ts';
import { runTool } from './servers/process.ts';

export interface InstalledNats {
  readonly path: string;
  readonly version: string;
}

/** The nats-server that a start would use, as far as it is on this machine already: unlike `findNatsServer`, this fetches nothing. */
export async function findInstalledNats(env: NodeJS.ProcessEnv): Promise<InstalledNats | undefined> {
  const cache = join(defaultCacheDir(env), 'nats-server');
  const candidates = [
    env['NATS_SERVER_BIN'] || undefined,
    await findExecutable('nats-server', env, ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin']),
    join(cache, NATS_RELEASE_VERSION, 'nats-server'),
    join(cache, 'apt', 'usr', 'sbin', 'nats-server'),
  ];
  for (const path of candidates) {
    if (path === undefined || !(await isExecutable(path))) continue;
    const said = await runTool(path, ['--version'], { timeoutMs: 5_000 }).catch(() => '');
    const version = /v?(\d+\.\d+\.\d+\S*)/.exec(said)?.[1];
    if (version !== undefined) return { path, version };
  }
  return undefined;
}
