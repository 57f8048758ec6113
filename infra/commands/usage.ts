import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { RecentAttempt, UsageDimension, UsageFilter, UsageRow } from '../../services/ledger/usage-report.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import { loadCommandConfig, positiveInteger, withConfigOptions, withJson } from './options.ts';
import type { ConfigFlags } from './options.ts';
import { print, printJson } from './terminal.ts';

const DIMENSIONS = ['key', 'model', 'deployment', 'team', 'error', 'day'] as const satisfies readonly UsageDimension[];
const DEFAULT_SINCE = '24h';
const MAX_LAST = 10_000;

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
  const filter: UsageFilter = { sinceEpochMs: since, untilEpochMs: until, key, model, team };
  const config = await loadCommandConfig(flags);
  await withLedger(config, {}, async ({ db }) => {
    if (last !== undefined) return printAttempts(await recentAttempts(db, last, filter), filter, json);
    const rows = by.length === 0 ? [] : await reportUsage(db, { ...filter, groupBy: by });
    // Asked for, not added up: percentiles do not add, and the groups may have been cut off.
    const [total] = await reportUsage(db, { ...filter, groupBy: [] });
    if (total !== undefined) printTotals(by, rows, total, filter, json);
  });
}

function printTotals(
  by: readonly UsageDimension[],
  rows: readonly UsageRow[],
  total: UsageRow,
  filter: UsageFilter,
  json?: true,
): void {
  if (json) return printJson({ ...period(filter), by, rows: rows.map(rowAsJson), total: rowAsJson(total) });
  print(`Usage ${said(filter)}\n`);
  print(total.attempts === 0 ? 'Nothing was used in this time.' : totalsTable(by, rows, total));
}

function printAttempts(attempts: readonly RecentAttempt[], filter: UsageFilter, json?: true): void {
  if (json) return printJson({ ...period(filter), attempts: attempts.map(attemptAsJson) });
  print(`Attempts ${said(filter)}, the latest first\n`);
  print(attempts.length === 0 ? 'Nothing was used in this time.' : attemptsTable(attempts));
}

function period({ sinceEpochMs, untilEpochMs }: UsageFilter): { since: string | null; until: string | null } {
  const at = (epochMs: number | undefined): string | null =>
    epochMs === undefined ? null : new Date(epochMs).toISOString();
  return { since: at(sinceEpochMs), until: at(untilEpochMs) };
}

function said(filter: UsageFilter): string {
  const { since, until } = period(filter);
  const short = (iso: string | null): string => (iso ?? '').replace(/(:00)?\.\d+Z$/, 'Z').replace('T', ' ');
  const only = Object.entries({ key: filter.key, model: filter.model, team: filter.team })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, only ${name} ${value}`);
  return `since ${short(since)}${until === null ? '' : ` until ${short(until)}`}${only.join('')}`;
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
