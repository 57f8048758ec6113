import CliTable from 'cli-table3';
import { displayWidth, printable, styled, terminalWidth } from './terminal.ts';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: 'left' | 'right';
  /** How narrow the cells may be cut, with an ellipsis; by default they are not: half a number is another number. */
  readonly minWidth?: number;
  /** The lower, the earlier the column goes when the terminal is too narrow; by default it stays. */
  readonly importance?: number;
}

/** What the fitting needs to know of a column: its widest cell, and what may be done to it. */
export interface Fit {
  readonly width: number;
  readonly minWidth?: number | undefined;
  readonly importance?: number | undefined;
}

/** Between two columns. */
const GAP = 2;

/**
 * The width of each column so that the line fits; undefined for a column that has to go. The widest are cut first, as
 * far as they may; then the least important column goes, and everybody has its full width again. What is left at last
 * is wider than the terminal rather than unreadable.
 */
export function fitColumns(columns: readonly Fit[], available: number): Array<number | undefined> {
  const kept = new Set(columns.keys());
  for (;;) {
    const widths = columns.map(({ width }, index) => (kept.has(index) ? width : undefined));
    const gaps = GAP * Math.max(0, kept.size - 1);
    let excess = widths.reduce<number>((sum, width) => sum + (width ?? 0), gaps) - available;
    while (excess > 0) {
      const widest = indexOfWidest(columns, widths);
      if (widest === undefined) break;
      widths[widest] = (widths[widest] ?? 0) - 1;
      excess--;
    }
    const [least] = [...kept]
      .filter((index) => columns[index]?.importance !== undefined)
      .toSorted((a, b) => (columns[a]?.importance ?? 0) - (columns[b]?.importance ?? 0));
    if (excess <= 0 || least === undefined) return widths;
    kept.delete(least);
  }
}

/** Of those that may still be cut, the last of equals: the first column names the row. undefined when none may. */
function indexOfWidest(columns: readonly Fit[], widths: ReadonlyArray<number | undefined>): number | undefined {
  let widest: number | undefined;
  for (const [index, { minWidth }] of columns.entries()) {
    const width = widths[index];
    if (width === undefined || minWidth === undefined || width <= minWidth) continue;
    if (widest === undefined || width >= (widths[widest] ?? 0)) widest = index;
  }
  return widest;
}

export interface TableOptions {
  /** Default: the terminal's. */
  readonly width?: number;
  /** The last row is a sum, and stands apart. */
  readonly hasTotals?: boolean;
}

/** The rows as lines of text that fit the terminal, with a line of titles above. */
export function renderTable<Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: readonly Row[],
  { width = terminalWidth(), hasTotals = false }: TableOptions = {},
): string {
  const cells = columns.map((column) => rows.map((row) => printable(column.cell(row))));
  const fits = columns.map(({ title, minWidth, importance }, index) => {
    const widest = Math.max(displayWidth(title), ...(cells[index] ?? []).map(displayWidth));
    return { width: widest, importance, minWidth: minWidth && Math.max(minWidth, displayWidth(title)) };
  });
  const widths = fitColumns(fits, width);
  const shown = columns.flatMap((column, index) => {
    const columnWidth = widths[index];
    return columnWidth === undefined ? [] : [{ column, width: columnWidth, cells: cells[index] ?? [] }];
  });
  const table = new CliTable({
    chars: BORDERLESS,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
    colWidths: shown.map((each) => each.width),
    colAligns: shown.map(({ column }) => column.align ?? 'left'),
  });
  table.push(shown.map(({ column }) => column.title));
  for (const index of rows.keys()) table.push(shown.map((each) => each.cells[index] ?? ''));
  const [titles = '', ...lines] = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  const rule = '─'.repeat(shown.reduce((sum, each) => sum + each.width + GAP, -GAP));
  const body = hasTotals ? [...lines.slice(0, -1), rule, styled('bold', lines.at(-1) ?? '')] : lines;
  return [styled('bold', titles), ...body].join('\n');
}

const BORDERLESS = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '' },
  ...{ 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '' },
  middle: ' '.repeat(GAP),
} as const;
