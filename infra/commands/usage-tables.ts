import type { UsageDimension } from '../../services/ledger/core/usage-query.ts';
import { isTimeDimension } from '../../services/ledger/core/usage-query.ts';
import type { AccountedAttempt } from '../../services/ledger/usage/list-attempts.ts';
import type { UsageRow } from '../../services/ledger/usage/usage-report.ts';
import { formatDollars, formatUsd } from '../../shared/money.ts';
import { renderTable } from './table.ts';
import type { Column } from './table.ts';

/** Beside a number of tokens that is (in part) our own count. */
const ESTIMATED = '*';
/** Beside a sum in which the cost of some attempts is missing. */
const UNPRICED = '†';
/** Before a quantile that was read from a histogram. */
const ROUGH = '~';
/** So narrow may names be cut. */
const NAME_WIDTH = 12;

/** One line for each group, and the sum of all; the footnotes say what the marks mean. */
export function totalsTable(by: readonly UsageDimension[], rows: readonly UsageRow[], total: UsageRow): string {
  const all = [...rows, total];
  const costs = alignUsd(all.map(({ costNanoUsd }) => costNanoUsd));
  const costOf = new Map(all.map((row, index) => [row, costs[index] ?? '']));
  const hasPricedNone = ({ attempts, attemptsWithUnknownPrice }: UsageRow): boolean =>
    attempts > 0 && attempts === attemptsWithUnknownPrice;
  // A mark takes its place in every cell of the column, so that the digits stay below each other.
  const marked = (row: UsageRow, count: keyof UsageRow & `attempts${string}`, mark: string): string =>
    total[count] === 0 ? '' : row[count] > 0 ? mark : ' ';
  const tokens = (row: UsageRow, value: number): string => grouped(value) + marked(row, 'attemptsEstimated', ESTIMATED);
  const columns: Array<Column<UsageRow>> = [
    ...by.map((dimension, index): Column<UsageRow> => ({
      title: dimension,
      cell: (row) =>
        row === total ? (index === 0 ? 'total' : '') : (row.group[dimension] ?? (dimension === 'error' ? 'none' : '-')),
      ...(!isTimeDimension(dimension) && { minWidth: NAME_WIDTH }),
    })),
    { title: 'attempts', cell: (row) => grouped(row.attempts), align: 'right' },
    { title: 'errors', cell: (row) => grouped(row.errors), align: 'right', importance: 6 },
    { title: 'cancelled', cell: (row) => grouped(row.cancelled), align: 'right', importance: 1 },
    { title: 'input', cell: (row) => tokens(row, row.inputTokens), align: 'right', importance: 7 },
    { title: 'cached', cell: (row) => grouped(row.cachedInputTokens), align: 'right', importance: 2 },
    { title: 'output', cell: (row) => tokens(row, row.outputTokens), align: 'right', importance: 8 },
    { title: 'ttft p50', cell: (row) => quantile(row, row.ttftMs.p50), align: 'right', importance: 5 },
    { title: 'time p50', cell: (row) => quantile(row, row.durationMs.p50), align: 'right', importance: 4 },
    { title: 'time p95', cell: (row) => quantile(row, row.durationMs.p95), align: 'right', importance: 3 },
    {
      title: 'cost',
      cell: (row) =>
        (hasPricedNone(row) ? 'unknown' : (costOf.get(row) ?? '')) + marked(row, 'attemptsWithUnknownPrice', UNPRICED),
      align: 'right',
    },
  ];
  return [
    renderTable(columns, all, { hasTotals: rows.length > 0 }),
    ...footnotes(total.attemptsEstimated, total.attemptsWithUnknownPrice, all.some(hasRoughQuantiles)),
  ].join('\n');
}

function hasRoughQuantiles({ areQuantilesRough }: UsageRow): boolean {
  return areQuantilesRough;
}

/** One line for each attempt. */
export function attemptsTable(attempts: readonly AccountedAttempt[]): string {
  const costs = alignUsd(attempts.map(({ costNanoUsd }) => costNanoUsd ?? 0n));
  const costOf = new Map(attempts.map((attempt, index) => [attempt, costs[index] ?? '']));
  const estimated = attempts.filter(({ isEstimated }) => isEstimated).length;
  const unpriced = attempts.filter(({ costNanoUsd }) => costNanoUsd === null).length;
  const tokens = (attempt: AccountedAttempt, value: number): string =>
    grouped(value) + (estimated === 0 ? '' : attempt.isEstimated ? ESTIMATED : ' ');
  const columns: ReadonlyArray<Column<AccountedAttempt>> = [
    {
      title: 'time (UTC)',
      cell: ({ startedEpochMs }) => new Date(startedEpochMs).toISOString().slice(0, 19).replace('T', ' '),
    },
    { title: 'key', cell: ({ keyName }) => keyName, minWidth: 8, importance: 7 },
    { title: 'model', cell: ({ model }) => model, minWidth: NAME_WIDTH },
    { title: 'deployment', cell: ({ deployment }) => deployment, minWidth: NAME_WIDTH, importance: 4 },
    { title: 'reason', cell: ({ reason }) => reason ?? '-', minWidth: 8, importance: 3 },
    { title: 'result', cell: ({ error, finish }) => error ?? finish ?? 'ok', minWidth: 8 },
    { title: 'input', cell: (attempt) => tokens(attempt, attempt.inputTokens), align: 'right', importance: 8 },
    { title: 'output', cell: (attempt) => tokens(attempt, attempt.outputTokens), align: 'right', importance: 9 },
    { title: 'ttft', cell: ({ ttftMs }) => milliseconds(ttftMs), align: 'right', importance: 5 },
    { title: 'time', cell: ({ durationMs }) => milliseconds(durationMs), align: 'right', importance: 6 },
    {
      title: 'cost',
      cell: (attempt) =>
        (attempt.costNanoUsd === null ? 'unknown' : (costOf.get(attempt) ?? '')) +
        (unpriced === 0 ? '' : attempt.costNanoUsd === null ? UNPRICED : ' '),
      align: 'right',
    },
    { title: 'request', cell: ({ requestId }) => requestId, importance: 1 },
    { title: 'team', cell: ({ team }) => team ?? '-', minWidth: 8, importance: 2 },
  ];
  return [renderTable(columns, attempts), ...footnotes(estimated, unpriced)].join('\n');
}

function footnotes(estimated: number, unpriced: number, areTimesRough = false): string[] {
  const attempts = (count: number): string => (count === 1 ? '1 attempt' : `${grouped(count)} attempts`);
  const notes = [
    ...(estimated > 0
      ? [`${ESTIMATED} ${attempts(estimated)}: tokens are an estimate of ours, the provider told none.`]
      : []),
    ...(unpriced > 0
      ? [
          `${UNPRICED} ${attempts(unpriced)}: no price is known, and none is in the sum. Set one: providers.<name>.models.<model>.price`,
        ]
      : []),
    ...(areTimesRough ? [`${ROUGH} p50 and p95 of very many attempts are told by powers of two.`] : []),
  ];
  return notes.length === 0 ? [] : ['', ...notes];
}

/** Exact amounts with the same number of decimals, so that they can be compared at a glance. */
export function alignUsd(amounts: readonly bigint[]): string[] {
  const texts = amounts.map(formatUsd);
  const decimals = Math.max(0, ...texts.map((text) => text.length - text.indexOf('.')));
  return texts.map((text) => text + '0'.repeat(decimals - (text.length - text.indexOf('.'))));
}

/** Money as text: exact, and no reader's float gets to round it. */
export function rowAsJson({ group, costNanoUsd, ...row }: UsageRow): object {
  return { ...group, ...row, costUsd: formatDollars(costNanoUsd), costNanoUsd: String(costNanoUsd) };
}

export function attemptAsJson({ startedEpochMs, chargedEpochMs, costNanoUsd, ...attempt }: AccountedAttempt): object {
  const cost = costNanoUsd === null ? null : formatDollars(costNanoUsd);
  return {
    startedAt: new Date(startedEpochMs).toISOString(),
    chargedAt: new Date(chargedEpochMs).toISOString(),
    ...attempt,
    costUsd: cost,
    costNanoUsd: costNanoUsd === null ? null : String(costNanoUsd),
  };
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

function quantile({ areQuantilesRough }: UsageRow, value: number | null): string {
  return (areQuantilesRough && value !== null ? ROUGH : '') + milliseconds(value);
}

function milliseconds(value: number | null): string {
  if (value === null) return '-';
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}
