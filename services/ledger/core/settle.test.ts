import { expect, test } from 'vitest';
import type { OpenLease } from './settle.ts';
import { Settlement } from './settle.ts';

const lease = (id: string, open: bigint, window = 'w'): OpenLease => ({ id, window, ingress: 'ing-1', open });
const indexed = (...leases: OpenLease[]) => new Map(leases.map((each) => [each.id, each]));
const charge = (cost: bigint, leases: string[], windows = ['w']) => ({ cost, windows, leases, ingress: 'ing-1' });

test('a cost is spent in each of its windows, and settled in each lease up to what is open', () => {
  const settlement = new Settlement();
  const leases = indexed(lease('a', 10n), lease('b', 3n, 'x'));
  settlement.add(charge(5n, ['a', 'b'], ['w', 'x', 'y']), leases);
  expect([...settlement.spent]).toEqual([
    ['w', 5n],
    ['x', 5n],
    ['y', 5n],
  ]);
  expect([...settlement.settled]).toEqual([
    ['a', 5n],
    ['b', 3n],
  ]);
  expect(settlement.shortages).toEqual([{ window: 'x', ingress: 'ing-1', missing: 2n }]);
});

test('two leases of one window settle a cost once, not twice', () => {
  const settlement = new Settlement();
  settlement.add(charge(5n, ['a', 'b']), indexed(lease('a', 3n), lease('b', 10n)));
  expect([...settlement.settled]).toEqual([
    ['a', 3n],
    ['b', 2n],
  ]);
  expect(settlement.shortages).toEqual([]);
});

test('what a batch settles of a lease is never more than was open', () => {
  const settlement = new Settlement();
  const leases = indexed(lease('a', 10n));
  for (const cost of [4n, 4n, 4n]) settlement.add(charge(cost, ['a']), leases);
  expect(settlement.settled.get('a')).toBe(10n);
  expect(settlement.shortages).toEqual([{ window: 'w', ingress: 'ing-1', missing: 2n }]);
});

test('a shortage is taken from other leases of the same ingress in the same window', () => {
  const settlement = new Settlement();
  settlement.add(charge(9n, ['a']), indexed(lease('a', 2n)));
  const others = [{ ...lease('x', 9n), ingress: 'ing-2' }, lease('y', 9n, 'other'), lease('b', 3n), lease('c', 9n)];
  settlement.coverShortages(others);
  expect([...settlement.settled]).toEqual([
    ['a', 2n],
    ['b', 3n],
    ['c', 4n],
  ]);
  expect(settlement.shortages).toEqual([]);
});

test('leases that are not known cover nothing, and nothing is taken for them', () => {
  const settlement = new Settlement();
  settlement.add(charge(5n, ['gone']), indexed());
  expect([...settlement.settled]).toEqual([]);
  expect(settlement.shortages).toEqual([]);
});

test('a correction that makes it cheaper is taken from spent, and settles nothing', () => {
  const settlement = new Settlement();
  settlement.add(charge(-5n, ['a']), indexed(lease('a', 10n)));
  expect(settlement.spent.get('w')).toBe(-5n);
  expect(settlement.settled.size).toBe(0);
});
