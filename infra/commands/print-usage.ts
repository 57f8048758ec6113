import type { RecentAttempt, UsageDimension, UsageFilter, UsageRow } from '../../services/ledger/usage-report.ts';
import { print, printJson } from './terminal.ts';
import { attemptAsJson, attemptsTable, rowAsJson, totalsTable } from './usage-tables.ts';

const NOTHING = 'Nothing was used in this time.';

export interface Totals {
  readonly by: readonly UsageDimension[];
  readonly rows: readonly UsageRow[];
  readonly total: UsageRow;
}

export function printTotals({ by, rows, total }: Totals, filter: UsageFilter, isJson: boolean): void {
  if (isJson) return printJson({ ...period(filter), by, rows: rows.map(rowAsJson), total: rowAsJson(total) });
  print(`Usage ${said(filter)}\n`);
  print(total.attempts === 0 ? NOTHING : totalsTable(by, rows, total));
}

export function printAttempts(attempts: readonly RecentAttempt[], filter: UsageFilter, isJson: boolean): void {
  if (isJson) return printJson({ ...period(filter), attempts: attempts.map(attemptAsJson) });
  print(`Attempts ${said(filter)}, the latest first\n`);
  print(attempts.length === 0 ? NOTHING : attemptsTable(attempts));
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
