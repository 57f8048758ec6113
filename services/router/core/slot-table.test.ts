import { describe, expect, test } from 'vitest';
import { SlotTable } from './slot-table.ts';

const NOBODY: ReadonlySet<string> = new Set();

/** A table to which each of these workers has issued so many slots of the pool `p`. */
function tableWith(slots: Record<string, number>): SlotTable {
  const table = new SlotTable();
  for (const [worker, issued] of Object.entries(slots))
    table.update({ pool: 'p', worker, issued, outstanding: issued, capacity: 100 });
  return table;
}

describe('slots promised ahead', () => {
  test.each([
    { why: 'as many as are asked for', slots: { a: 100 }, count: 10, ranges: [['a', 1, 10]] },
    { why: 'never more than a quarter', slots: { a: 100 }, count: 90, ranges: [['a', 1, 25]] },
    { why: 'none of what is scarce', slots: { a: 3 }, count: 3, ranges: [] },
    {
      why: 'of each worker in proportion to what it has',
      slots: { a: 300, b: 100 },
      count: 40,
      ranges: [
        ['a', 1, 30],
        ['b', 1, 10],
      ],
    },
    { why: 'none of nobody', slots: {}, count: 5, ranges: [] },
  ])('$why', ({ slots, count, ranges }) => {
    const ahead = tableWith(slots).takeAhead('p', count);
    expect(ahead.map(({ worker, from, to }) => [worker, from, to])).toEqual(ranges);
  });

  test('they are not promised again, and what was promised before is not among them', () => {
    const table = tableWith({ a: 8 });
    expect(table.take('p', NOBODY)).toEqual({ worker: 'a', slot: 1 });
    expect(table.takeAhead('p', 1)).toEqual([{ worker: 'a', from: 2, to: 2 }]);
    expect(table.take('p', NOBODY)).toEqual({ worker: 'a', slot: 3 });
    expect(table.spent()).toEqual([{ pool: 'p', worker: 'a', spent: 3 }]);
    expect(table.giveBack('p', 'a', 100)).toEqual({ from: 4, to: 8 });
  });

  test('none of a worker that somebody found dead', () => {
    const table = tableWith({ a: 100, b: 100 });
    table.suspect('a');
    expect(table.takeAhead('p', 10)).toEqual([{ worker: 'b', from: 1, to: 10 }]);
  });
});

describe('one slot', () => {
  test('of the worker with the most to give; of one to avoid only when no other has any', () => {
    const table = tableWith({ a: 2, b: 1 });
    const avoid = new Set(['a']);
    expect(table.take('p', NOBODY)?.worker).toBe('a');
    expect(table.take('p', avoid)?.worker).toBe('b');
    expect(table.take('p', avoid)?.worker).toBe('a');
    expect(table.take('p', avoid)).toBeUndefined();
  });
});
