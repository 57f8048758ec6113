import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitColumns, renderTable } from './table.ts';
import type { Column, Fit } from './table.ts';
import { displayWidth } from './terminal.ts';

describe('fitColumns', () => {
  const columns: Fit[] = [
    { width: 20, minWidth: 6 },
    { width: 12, minWidth: 6, importance: 2 },
    { width: 8, importance: 1 },
    { width: 5 },
  ];

  test.each([
    { available: 51, widths: [20, 12, 8, 5], why: 'everything fits, exactly' },
    { available: 46, widths: [15, 12, 8, 5], why: 'the widest is cut first' },
    { available: 39, widths: [10, 10, 8, 5], why: 'then both that may be' },
    { available: 31, widths: [6, 6, 8, 5], why: 'down to their least width' },
    { available: 30, widths: [11, 10, undefined, 5], why: 'then the least important goes, and there is room again' },
    { available: 20, widths: [13, undefined, undefined, 5], why: 'and the next' },
    { available: 5, widths: [6, undefined, undefined, 5], why: 'what must stay stays, even past the edge' },
    { available: Infinity, widths: [20, 12, 8, 5], why: 'a program reads it' },
  ])('$available characters -> $widths ($why)', ({ available, widths }) => {
    expect(fitColumns(columns, available)).toEqual(widths);
  });

  test('a line fits whenever dropping and cutting can make it fit, and no column is cut below its least width', () => {
    const column = fc.record({
      width: fc.integer({ min: 1, max: 60 }),
      minWidth: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
      importance: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.array(column, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 200 }),
        (fits, available) => {
          const widths = fitColumns(fits, available);
          const least = ({ width, minWidth = width }: Fit): number => Math.min(width, minWidth);
          const kept = fits.flatMap((fit, index) =>
            widths[index] === undefined ? [] : [{ fit, width: widths[index] }],
          );
          for (const { fit, width } of kept) {
            expect(width).toBeGreaterThanOrEqual(least(fit));
            expect(width).toBeLessThanOrEqual(fit.width);
          }
          const total = kept.reduce((sum, { width }) => sum + width, 2 * (kept.length - 1));
          const isAtLeast = kept.every(({ fit, width }) => width === least(fit) && fit.importance === undefined);
          expect(total <= available || isAtLeast || kept.length === 0).toBe(true);
        },
      ),
    );
  });
});

describe('renderTable', () => {
  const columns: ReadonlyArray<Column<{ name: string; count: number }>> = [
    { title: 'name', cell: ({ name }) => name, minWidth: 6 },
    { title: 'count', cell: ({ count }) => String(count), align: 'right' },
  ];

  test('pads to columns, numbers to the right', () => {
    const rows = [
      { name: 'short', count: 7 },
      { name: 'somewhat longer', count: 12_345 },
    ];
    expect(renderTable(columns, rows, { width: 80 }).split('\n')).toEqual([
      'name             count',
      'short                7',
      'somewhat longer  12345',
    ]);
  });

  test('cuts a long cell with an ellipsis', () => {
    expect(renderTable(columns, [{ name: 'a-name-that-never-ends', count: 1 }], { width: 20 }).split('\n')).toEqual([
      'name           count',
      'a-name-that-…      1',
    ]);
  });

  test('a row of totals stands apart', () => {
    const rows = [
      { name: 'a', count: 1 },
      { name: 'total', count: 1 },
    ];
    expect(renderTable(columns, rows, { width: 80, hasTotals: true }).split('\n').at(-2)).toBe('─'.repeat(12));
  });

  test('wide characters keep the columns below each other', () => {
    const rows = [
      { name: '模型一号', count: 1 },
      { name: 'abcd', count: 2 },
    ];
    const lines = renderTable(columns, rows, { width: 80 }).split('\n');
    expect(new Set(lines.map(displayWidth))).toEqual(new Set([15]));
  });

  test('a name cannot steer the terminal', () => {
    const text = renderTable(columns, [{ name: 'gpt\u001b[31m\r\nx', count: 1 }], { width: 80 });
    expect(text).toContain('gpt\ufffd[31m\ufffd\ufffdx');
  });
});
