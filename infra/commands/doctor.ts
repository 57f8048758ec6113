import type { Command } from 'commander';
import type { Check } from '../doctor/check.ts';
import { loadCommandConfig, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { print, printable, printJson, styled } from './terminal.ts';

interface Flags extends ConfigFlags {
  readonly online?: true;
  readonly json?: true;
}

export function addDoctorCommand(program: Command): void {
  withConfigOptions(withJson(program.command('doctor')), 'port', 'dataDir')
    .description('is everything there that a gateway needs, and what to do if not; exit code 1 when something is amiss')
    .option('--online', 'ask the providers too whether they answer')
    .addHelpText(
      'after',
      '\nExamples:\n  $ sluice doctor\n  $ sluice doctor --online\n  $ DATABASE_URL=postgres://… sluice doctor --json',
    )
    .action(async ({ online, json, ...flags }: Flags) => {
      const { examine } = await import('../doctor/examine.ts');
      const checks = await examine({
        loadConfig: () => loadCommandConfig(flags),
        env: process.env,
        isOnline: online === true,
      });
      const isWell = checks.every(({ status }) => status !== 'fail');
      if (!isWell) process.exitCode = 1;
      if (json) return printJson({ ok: isWell, checks });
      const width = Math.max(...checks.map(({ name }) => name.length));
      for (const check of checks) print(line(check, width));
      print(isWell ? '\nA gateway can run here.' : '\nA gateway cannot run here yet.');
    });
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

function line({ name, status, detail, fix }: Check, width: number): string {
  const todo = fix === undefined ? '' : ` → ${fix}`;
  return `${styled(COLOURS[status], status.padEnd(4))}  ${name.padEnd(width)}  ${printable(`${detail}${todo}`, '\n')}`;
}
