/** The results as Markdown tables that are also legible in a terminal. */
import type { Cell, Result, Scenario, Settings } from './scenario.ts';

export interface Finished {
  readonly scenario: Pick<Scenario, 'name' | 'title'>;
  readonly result: Result;
  /** Of this process' own CPU time, so that other load on the machine does not show. */
  readonly cpuSeconds: number;
}

export function sectionOf({ scenario, result, cpuSeconds }: Finished, chartPath: (name: string) => string): string {
  const { setup, titles, rows, charts, targets, requests, lost } = result;
  const speed = `${requests.toLocaleString('en')} requests in ${cpuSeconds.toFixed(1)} s of CPU time, ${lost} never ended.`;
  return [
    `## ${scenario.title}`,
    `${setup} ${speed}`,
    table(titles, rows),
    ...charts.map(({ name, title }) => `![${title}](${chartPath(name)})`),
    table(
      ['', 'target', 'wanted', 'measured'],
      targets.map(({ isMet, what, wanted, measured }) => [isMet ? '✓' : '✗', what, wanted, measured]),
    ),
  ].join('\n\n');
}

export function summaryOf(finished: readonly Finished[], { seed, requests }: Settings): string {
  const targets = finished.flatMap(({ result }) => result.targets);
  const simulated = finished.reduce((sum, { result }) => sum + result.requests, 0);
  const lost = finished.reduce((sum, { result }) => sum + result.lost, 0);
  const met = targets.filter(({ isMet }) => isMet).length;
  return `Seed ${seed}, about ${requests.toLocaleString('en')} requests for each scenario, ${simulated.toLocaleString('en')} in all; ${lost} of them never ended; ${met} of ${targets.length} targets met.`;
}

function table(titles: readonly string[], rows: ReadonlyArray<readonly Cell[]>): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)));
  const widths = titles.map((title, column) =>
    Math.max(3, title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(titles), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join('\n');
}
