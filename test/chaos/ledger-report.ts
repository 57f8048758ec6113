import { renderTable } from '../../infra/commands/table.ts';
import { formatDollars } from '../../shared/money.ts';
import type { Machine } from '../bench/machine.ts';
import { markdownTable } from '../support/markdown-table.ts';
import type { LedgerResult } from './ledger-rounds.ts';
import { VICTIMS } from './ledger-rounds.ts';

export interface LedgerRun {
  /** ISO 8601. */
  readonly at: string;
  readonly command: string;
  readonly machine: Machine;
}

/** How many problems are told: a broken account has one for each request. */
const TOLD = 10;

interface Line {
  readonly what: string;
  readonly figure: string;
  readonly isRight: boolean;
}

/** The reconciliation, line by line: what must be the same, and what must be nothing. */
function linesOf({ rounds, books, providerCalls, hung, problems }: LedgerResult): Line[] {
  const { windows, rows, bySource, costNanoUsd, rollupNanoUsd, openLeases } = books;
  const asked = rounds.reduce((sum, round) => sum + round.asked, 0);
  const served = rounds.reduce((sum, round) => sum + round.served, 0);
  const struck = VICTIMS.map((victim) => `${victim} ${rounds.filter((round) => round.victim === victim).length}`);
  const unaccounted = problems.filter((text) => text.startsWith('unaccounted')).length;
  const unbalanced = windows.filter(({ spent, events }) => spent !== events).length;
  const leased = windows.reduce((sum, window) => sum + window.leased, 0n);
  const excess = windows.reduce((sum, window) => sum + window.excess, 0n);
  const sources = Object.entries(bySource).map(([source, count]) => `${source} ${number(count)}`);
  return [
    line('rounds of `kill -9`', `${rounds.length}: ${struck.join(', ')}`),
    line('requests in them; served', `${number(asked)}; ${number(served)}`),
    line('requests without an end', number(hung), hung === 0),
    line('calls that the provider counted', number(providerCalls)),
    line('rows in the ledger, by who reported them', `${number(rows)}: ${sources.join(', ')}`),
    line('calls without a row, rows twice, rows that differ', number(unaccounted), unaccounted === 0),
    line(
      'cost of all rows; by the rollups',
      `${dollars(costNanoUsd)}; ${dollars(rollupNanoUsd)}`,
      costNanoUsd === rollupNanoUsd,
    ),
    line('budget windows; not the sum of their events', `${windows.length}; ${unbalanced}`, unbalanced === 0),
    line('still reserved, when all was over', dollars(leased), leased === 0n),
    line('spent beyond a budget', dollars(excess), excess === 0n),
    line('leases that nobody closed', number(openLeases), openLeases === 0),
  ];
}

export function terminalLedgerReport(result: LedgerResult): string {
  const columns = [
    { title: '', cell: ({ isRight }: Line) => (isRight ? '✓' : '✗') },
    { title: 'what', cell: ({ what }: Line) => what },
    { title: 'figure', cell: ({ figure }: Line) => figure },
  ];
  return `${renderTable(columns, linesOf(result))}\n${problemLines(result).join('')}`;
}

export function markdownLedgerReport({ at, command, machine }: LedgerRun, result: LedgerResult): string {
  const { cpu, cores, memoryGiB, system, node, nats, postgres } = machine;
  const rows = linesOf(result).map(({ what, figure, isRight }) => [isRight ? '✓' : '✗', what, figure]);
  return [
    `\`${command}\`, ${at.slice(0, 16).replace('T', ' ')} UTC.`,
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}; Node ${node}, nats-server ${nats}, Postgres ${postgres}.`,
    '',
    markdownTable(['', 'what', 'figure'], rows),
    problemLines(result).join(''),
  ].join('\n');
}

function problemLines({ problems }: LedgerResult): string[] {
  return [
    ...problems.slice(0, TOLD).map((problem) => `- ${problem}\n`),
    ...(problems.length > TOLD ? [`- and ${problems.length - TOLD} more\n`] : []),
  ];
}

function line(what: string, figure: string, isRight = true): Line {
  return { what, figure, isRight };
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function dollars(nano: bigint): string {
  return formatDollars(nano);
}
