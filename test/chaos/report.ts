/** The results: as a table for the terminal, and as Markdown for docs/reliability.md. */
import { renderTable } from '../../infra/commands/table.ts';
import type { Column } from '../../infra/commands/table.ts';
import type { Machine } from '../bench/machine.ts';
import { markdownTable } from '../support/markdown-table.ts';
import type { Result } from './run-fault.ts';

export interface Run {
  /** ISO 8601. */
  readonly at: string;
  readonly command: string;
  readonly seconds: number;
  readonly lanes: number;
  readonly machine: Machine;
}

const COLUMNS: ReadonlyArray<Column<Result>> = [
  { title: '', cell: ({ problems }) => (problems.length === 0 ? '✓' : '✗') },
  { title: 'fault', cell: ({ name }) => name },
  number('asked', ({ asked }) => asked, 3),
  number('served', ({ served }) => served),
  number('tried again', ({ triedAgain }) => triedAgain, 4),
  { title: 'failed cleanly', cell: failedCell, minWidth: 14 },
  number('cut', ({ cut }) => cut),
  number('hung', ({ hung }) => hung),
  number('broken', ({ broken }) => broken),
  number('p99 ms', ({ p99Ms }) => p99Ms),
  number('slowest ms', ({ slowestMs }) => slowestMs, 6),
  { title: 'back after s', cell: ({ backAfterMs }) => seconds(backAfterMs), align: 'right' },
  { title: 'ready %', cell: ({ readyRatio }) => (100 * readyRatio).toFixed(0), align: 'right', importance: 5 },
  number('calls', ({ providerRequests }) => providerRequests, 1),
  number('rows', ({ rows }) => rows, 1),
  number('unaccounted', ({ unaccounted }) => unaccounted.length),
  { title: 'account after s', cell: ({ accountAfterMs }) => seconds(accountAfterMs), align: 'right', importance: 2 },
];

/** How many problems of one fault are told; a fault that breaks everything has thousands. */
const TOLD = 5;

export function terminalReport(results: readonly Result[]): string {
  return `${renderTable(COLUMNS, results)}\n${problemLines(results).join('')}`;
}

export function markdownReport(run: Run, results: readonly Result[]): string {
  const titles = COLUMNS.map(({ title }) => title);
  const rows = results.map((result) => COLUMNS.map(({ cell }) => cell(result)));
  return `${head(run)}\n\n${markdownTable(titles, rows)}\n${problemLines(results).join('')}`;
}

function head({ at, command, seconds: lasted, lanes, machine }: Run): string {
  const { cpu, cores, memoryGiB, system, node, nats, postgres } = machine;
  return [
    `\`${command}\`, ${at.slice(0, 16).replace('T', ' ')} UTC: each fault lasts ${lasted} s, ${lanes} clients at once.`,
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}; Node ${node}, nats-server ${nats}, Postgres ${postgres}. Clients, provider, gateway and servers share the cores.`,
  ].join('\n');
}

function problemLines(results: readonly Result[]): string[] {
  return results.flatMap(({ name, problems }) => [
    ...problems.slice(0, TOLD).map((problem) => `- ${name}: ${problem}\n`),
    ...(problems.length > TOLD ? [`- ${name}: and ${problems.length - TOLD} more\n`] : []),
  ]);
}

/** `35: broker_unavailable 22, router_unavailable 13`; the sum alone is said where there is one code. */
function failedCell({ failed, codes }: Result): string {
  const names = Object.entries(codes).toSorted(([, a], [, b]) => b - a);
  if (names.length < 2) return [count(failed), ...names.map(([code]) => code)].join(' ');
  return `${count(failed)}: ${names.map(([code, times]) => `${code} ${count(times)}`).join(', ')}`;
}

/** @param importance the lower, the earlier it goes when the terminal is too narrow; none: it stays */
function number(title: string, value: (result: Result) => number, importance?: number): Column<Result> {
  const column: Column<Result> = { title, cell: (result) => count(value(result)), align: 'right' };
  return importance === undefined ? column : { ...column, importance };
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
