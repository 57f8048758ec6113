import type { Command } from 'commander';
import { ConfigError } from '../../shared/config/errors.ts';
import { describeProblems } from './failure.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { note, print, printJson } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly json?: true;
}

export function addConfigCommands(program: Command): void {
  const config = program.command('config').description('the configuration: check it, show what is in force');
  config.addHelpText('after', '\nExamples:\n  $ sluice config check\n  $ sluice config show --config staging.yaml');

  withConfigOptions(withJson(config.command('check')))
    .description('say everything that is wrong with it, by line; exit code 1 when something is')
    .addHelpText('after', '\nExamples:\n  $ sluice config check\n  $ sluice config check --config staging.yaml --json')
    .action(checkCommand);

  withConfigOptions(withJson(config.command('show')))
    .description('what is in force: file, environment and defaults together, without secrets')
    .addHelpText('after', '\nExamples:\n  $ sluice config show\n  $ sluice config show --json | jq .server')
    .action(showCommand);
}

async function checkCommand({ json, ...flags }: Flags): Promise<void> {
  try {
    const { file, providers, routes, routers } = await loadCommandConfig(flags);
    const namesOf = (list: ReadonlyArray<{ readonly name: string }>) => list.map(({ name }) => name);
    const names = { providers: namesOf(providers), routes: namesOf(routes), routers: namesOf(routers) };
    if (json) return printJson({ ok: true, file: file ?? null, problems: [], ...names });
    print(`${file ?? 'No configuration file; environment and defaults'}: ok`);
    print(`providers: ${names.providers.join(', ')}`);
    print(`routes: ${names.routes.join(', ') || 'none'}`);
    if (names.routers.length > 0) print(`routers: ${names.routers.join(', ')}`);
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    process.exitCode = 1;
    if (json) printJson({ ok: false, file: failure.file ?? null, problems: failure.problems });
    else note(describeProblems(failure));
  }
}

async function showCommand({ json, ...flags }: Flags): Promise<void> {
  const { redactConfig } = await import('../../shared/config.ts');
  const shown = redactConfig(await loadCommandConfig(flags));
  if (json) return printJson(shown);
  const { stringify } = await import('yaml');
  print(stringify(shown, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd());
}
