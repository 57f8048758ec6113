import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { withJson, withVerbose } from './options.ts';
import { print, printJson } from './terminal.ts';

/** As package.json has it. */
export function sluiceVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export function addVersionCommand(program: Command): void {
  withVerbose(withJson(program.command('version')))
    .description('versions of Sluice and of what it runs on')
    .addHelpText('after', '\nExamples:\n  $ sluice version\n  $ sluice version --json')
    .action(async ({ json }: { json?: true }) => {
      const { createLog } = await import('../../shared/log.ts');
      const { defaultCacheDir } = await import('../servers/cache-dir.ts');
      const { findInstalledNats } = await import('../servers/nats-binary.ts');
      const { findPostgres } = await import('../servers/postgres-binaries.ts');
      const { env } = process;
      const nats = await findInstalledNats({ env, cacheDir: defaultCacheDir(env), log: createLog('silent', 'cli') });
      const postgres = await findPostgres().catch(() => undefined);
      const versions = {
        sluice: sluiceVersion(),
        node: process.versions.node,
        natsServer: nats === undefined ? null : { path: nats.path, version: nats.version },
        postgres: postgres === undefined ? null : { version: postgres.version, path: postgres.postgres },
      };
      if (json) return printJson(versions);
      print(`sluice       ${versions.sluice}`);
      print(`node         ${versions.node} (${process.execPath})`);
      print(
        `nats-server  ${nats === undefined ? 'none yet: `sluice start` fetches one' : `${nats.version} (${nats.path})`}`,
      );
      print(
        `postgres     ${postgres === undefined ? 'no embedded one for this system' : `${postgres.version} (embedded)`}`,
      );
    });
}
