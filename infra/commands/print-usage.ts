import type { UsageDimension, UsageFilter } from '../../services/ledger/core/usage-query.ts';
import type { ExportFormat } from '../../services/ledger/usage/write-attempts.ts';
import { exportHead, exportLines } from '../../services/ledger/usage/write-attempts.ts';
import type { AccountedAttempt, AttemptCursor } from '../../services/ledger/usage/list-attempts.ts';
import { exportAttempts } from '../../services/ledger/usage/list-attempts.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import type { UsageRow } from '../../services/ledger/usage/usage-report.ts';
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

export function printAttempts(attempts: readonly AccountedAttempt[], filter: UsageFilter, isJson: boolean): void {
  if (isJson) return printJson({ ...period(filter), attempts: attempts.map(attemptAsJson) });
  print(`Attempts ${said(filter)}, the latest first\n`);
  print(attempts.length === 0 ? NOTHING : attemptsTable(attempts));
}

/** Some megabytes at once, however many attempts there are. */
const EXPORT_PAGE = 5_000;

/** Every attempt that matches, oldest first, page by page: as fast as it is read, and never all of it in memory. */
export async function printExport(db: Database, filter: UsageFilter, format: ExportFormat): Promise<void> {
  await write(exportHead(format));
  let after: AttemptCursor | undefined;
  do {
    const { attempts, next } = await exportAttempts(db, { filter, after, limit: EXPORT_PAGE });
    await write(exportLines(format, attempts));
    after = next;
  } while (after !== undefined);
}

/** Waits until the reader has taken it. */
function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (failure) => (failure == null ? resolve() : reject(failure)));
  });
}

function period({ sinceEpochMs, untilEpochMs }: UsageFilter): { since: string | null; until: string | null } {
  const at = (epochMs: number | undefined): string | null =>
    epochMs === undefined ? null : new Date(epochMs).toISOString();
  return { since: at(sinceEpochMs), until: at(untilEpochMs) };
}

function said(filter: UsageFilter): string {
  const { since, until } = period(filter);
  const short = (iso: string | null): string => (iso ?? '').replace(/(:00)?\.\d+Z$/, 'Z').replace('T', ' ');
  const { sinceEpochMs: _since, untilEpochMs: _until, tags = {}, ...dimensions } = filter;
  const named = {
    ...dimensions,
    ...Object.fromEntries(Object.entries(tags).map(([name, value]) => [`tag ${name}`, value])),
  };
  const only = Object.entries(named)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, only ${value === null ? `without ${name}` : `${name} ${value}`}`);
  return `since ${short(since)}${until === null ? '' : ` until ${short(until)}`}${only.join('')}`;
}
