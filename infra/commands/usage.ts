import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { UsageDimension } from '../../services/ledger/core/usage-query.ts';
import { parseDimension, TIME_DIMENSIONS } from '../../services/ledger/core/usage-query.ts';
import type { ExportFormat } from '../../services/ledger/usage/write-attempts.ts';
import { EXPORT_FORMATS } from '../../services/ledger/usage/write-attempts.ts';
import { USAGE_DIMENSIONS } from '../../shared/usage-dimensions.ts';
import { loadCommandConfig, positiveInteger, withConfigOptions, withJson } from './options.ts';
import { note } from './terminal.ts';
import type { FilterFlags } from './usage-filter.ts';
import { filterOf, pointInTime, withFilterOptions } from './usage-filter.ts';
import { addReRateCommand } from './usage-re-rate.ts';

const DEFAULT_SINCE = '24h';
const MAX_LAST = 10_000;
/** More lines than this nobody reads; a program asks for narrower ones. */
const MAX_GROUPS = 1_000;
/** Of a series: a month of hours for a few groups. */
const MAX_SERIES = 10_000;

interface Flags extends FilterFlags {
  readonly by: readonly UsageDimension[];
  readonly every?: 'day' | 'hour';
  readonly top?: number;
  readonly last?: number;
  readonly export?: ExportFormat;
  readonly json?: true;
}

export function addUsageCommand(program: Command): void {
  const usage = program.command('usage').enablePositionalOptions().description('what was used, and what it cost');
  withFilterOptions(withConfigOptions(withJson(usage), 'dataDir'))
    .option('-b, --by <dimensions>', `group by ${DIMENSIONS}; none for one sum`, dimensionList, ['key', 'model'])
    .addOption(new Option('--every <time>', 'a line for each hour or day').choices(TIME_DIMENSIONS))
    .option('--top <count>', 'only the dearest groups of the whole time', positiveInteger(MAX_GROUPS))
    .option('-n, --last <count>', 'list the last attempts instead', positiveInteger(MAX_LAST))
    .addOption(new Option('--export <format>', 'write every attempt instead').choices(EXPORT_FORMATS))
    .addHelpText(
      'after',
      `
Examples:
  $ sluice usage                             by key and model, the last ${DEFAULT_SINCE}
  $ sluice usage --since 7d --by team --every day
  $ sluice usage --since 30d --by tag:project --top 10
  $ sluice usage --by error --model gpt-4o-mini
  $ sluice usage --by user --where team=search --where route=best-cheap-chat
  $ sluice usage --by route,variant,reason   which deployments were chosen, and why
  $ sluice usage --since 2026-11-01 --until 2026-12-01 --by key --json
  $ sluice usage --last 20                   the last attempts, one line each
  $ sluice usage --since 30d --export csv > november.csv

A date is ISO 8601: 2026-11-20, or 2026-11-20T09:30:00Z. Hours and days are those of UTC.
\`--where team=\` is what has no team.`,
    )
    .action(usageCommand);
  defaultSince(usage);
  addReRateCommand(usage);
}

/** Commander would print the default as a number of milliseconds. */
function defaultSince(command: Command): void {
  const since = command.options.find(({ long }) => long === '--since');
  since?.default(pointInTime(DEFAULT_SINCE), DEFAULT_SINCE);
  command.setOptionValueWithSource('since', pointInTime(DEFAULT_SINCE), 'default');
}

async function usageCommand(flags: Flags): Promise<void> {
  const { by: groupBy, every, top, last, export: format, json } = flags;
  const { recentAttempts } = await import('../../services/ledger/usage/list-attempts.ts');
  const { reportUsage } = await import('../../services/ledger/usage/usage-report.ts');
  const { withLedger } = await import('./open-ledger.ts');
  const { printAttempts, printExport, printTotals } = await import('./print-usage.ts');
  const isJson = json === true;
  const filter = filterOf(flags);
  const by = every === undefined ? groupBy : [every, ...groupBy.filter((dimension) => dimension !== every)];
  const limit = every === undefined ? MAX_GROUPS : MAX_SERIES;
  const config = await loadCommandConfig(flags);
  await withLedger(config, {}, async ({ db }) => {
    if (format !== undefined) return printExport(db, filter, format);
    if (last !== undefined) return printAttempts(await recentAttempts(db, last, filter), filter, isJson);
    const rows = by.length === 0 ? [] : await reportUsage(db, { ...filter, groupBy: by, limit, top });
    // Asked for, not added up: percentiles do not add, and the groups may have been cut off.
    const [total] = await reportUsage(db, { ...filter, groupBy: [] });
    if (total === undefined) return;
    printTotals({ by, rows, total }, filter, isJson);
    if (rows.length === limit)
      note(
        `Only ${limit} lines are listed; the total is that of all. Narrow it with --key, --model, --team, --where, --top or --since.`,
      );
  });
}

const DIMENSIONS = [...USAGE_DIMENSIONS, 'tag:<name>', ...TIME_DIMENSIONS].join(', ');

function dimensionList(text: string): UsageDimension[] {
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const dimension = parseDimension(word.trim());
    if (dimension === undefined) throw new InvalidArgumentError(`"${word}" is not one of ${DIMENSIONS}, none.`);
    return dimension;
  });
}
