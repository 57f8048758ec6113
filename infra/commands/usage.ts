import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { UsageDimension, UsageFilter } from '../../services/ledger/usage-report.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import { loadCommandConfig, positiveInteger, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { note } from './terminal.ts';

/** As in the ledger, which is not loaded for a command's help. */
const DIMENSIONS = [
  'key',
  'model',
  'route',
  'deployment',
  'team',
  'error',
  'reason',
  'variant',
  'lane',
  'day',
] as const satisfies readonly UsageDimension[];
const DEFAULT_SINCE = '24h';
const MAX_LAST = 10_000;
/** More lines than this nobody reads; a program asks for narrower ones. */
const MAX_GROUPS = 1_000;

interface Flags extends ConfigFlags {
  readonly since: number;
  readonly until?: number;
  readonly by: readonly UsageDimension[];
  readonly key?: string;
  readonly model?: string;
  readonly team?: string;
  readonly last?: number;
  readonly json?: true;
}

export function addUsageCommand(program: Command): void {
  withConfigOptions(withJson(program.command('usage')), 'dataDir')
    .description('what was used, and what it cost')
    .option('-s, --since <when>', 'from: a time ago (30m, 24h, 7d) or a date', pointInTime, pointInTime(DEFAULT_SINCE))
    .option('-u, --until <when>', 'up to: a time ago or a date', pointInTime)
    .option('-b, --by <dimensions>', `group by ${DIMENSIONS.join(', ')}; none for one sum`, dimensionList, [
      'key',
      'model',
    ])
    .option('-k, --key <key>', "only this key's: name or id")
    .option('-m, --model <model>', 'only this model, as clients name it')
    .option('--team <team>', "only this team's")
    .option('-n, --last <count>', 'list the last attempts instead', positiveInteger(MAX_LAST))
    .addHelpText(
      'after',
      `
Examples:
  $ sluice usage                             by key and model, the last ${DEFAULT_SINCE}
  $ sluice usage --since 7d --by day,team
  $ sluice usage --by error --model gpt-4o-mini
  $ sluice usage --by route,variant,reason   which deployments were chosen, and why
  $ sluice usage --since 2026-11-01 --until 2026-12-01 --by key --json
  $ sluice usage --last 20                   the last attempts, one line each

A date is ISO 8601: 2026-11-20, or 2026-11-20T09:30:00Z. Days are those of UTC.`,
    )
    .action(usageCommand);
  // Commander would print the default as a number of milliseconds.
  const since = program.commands.at(-1)?.options.find(({ long }) => long === '--since');
  since?.default(since.defaultValue, DEFAULT_SINCE);
}

async function usageCommand({ since, until, by, last, json, key, model, team, ...flags }: Flags): Promise<void> {
  const { recentAttempts, reportUsage } = await import('../../services/ledger/usage-report.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const { printAttempts, printTotals } = await import('./print-usage.ts');
  const isJson = json === true;
  const filter: UsageFilter = { sinceEpochMs: since, untilEpochMs: until, key, model, team };
  const config = await loadCommandConfig(flags);
  await withLedger(config, {}, async ({ db }) => {
    if (last !== undefined) return printAttempts(await recentAttempts(db, last, filter), filter, isJson);
    const rows = by.length === 0 ? [] : await reportUsage(db, { ...filter, groupBy: by, limit: MAX_GROUPS });
    // Asked for, not added up: percentiles do not add, and the groups may have been cut off.
    const [total] = await reportUsage(db, { ...filter, groupBy: [] });
    if (total === undefined) return;
    printTotals({ by, rows, total }, filter, isJson);
    if (rows.length === MAX_GROUPS)
      note(
        `Only ${MAX_GROUPS} groups are listed; the total is that of all. Narrow it with --key, --model, --team or --since.`,
      );
  });
}

/** `24h` → the time a day ago; an ISO date → that time. Milliseconds since the epoch. */
export function pointInTime(text: string): number {
  try {
    return Date.now() - parseDuration(text);
  } catch {
    const epochMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(epochMs))
      throw new InvalidArgumentError(
        'It must be a time ago (30m, 24h, 7d) or a date (2026-11-20, 2026-11-20T09:30:00Z).',
      );
    return epochMs;
  }
}

function dimensionList(text: string): UsageDimension[] {
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const dimension = DIMENSIONS.find((known) => known === word.trim());
    if (dimension === undefined)
      throw new InvalidArgumentError(`"${word}" is not one of ${DIMENSIONS.join(', ')}, none.`);
    return dimension;
  });
}
