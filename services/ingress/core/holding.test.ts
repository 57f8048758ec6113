import { describe, expect, test } from 'vitest';
import type { Lease } from './holding.ts';
import { freeOf, Holding, isLive, keepOf } from './holding.ts';

const leaseOf = (fields: Partial<Lease> = {}): Lease => ({
  ...{ id: 'l', amount: 100, reserved: 0, consumed: 0, expiresAt: 15_000, windowEndsAt: Infinity },
  ...fields,
});

function holdingOf(...leases: Lease[]): Holding {
  const holding = new Holding('b', 'team:a', 0);
  for (const lease of leases) holding.add(lease);
  return holding;
}

describe('a lease covers', () => {
  test.each([
    { what: 'what is free of it', lease: {}, amount: 100, covers: true },
    { what: 'no more than that', lease: {}, amount: 101, covers: false },
    { what: 'not what is reserved', lease: { reserved: 1 }, amount: 100, covers: false },
    { what: 'not what was consumed', lease: { consumed: 1 }, amount: 100, covers: false },
    { what: 'nothing, once more was consumed than it had', lease: { consumed: 200 }, amount: 1, covers: false },
    { what: 'nothing once it has expired', lease: { expiresAt: 10 }, amount: 1, covers: false },
    { what: 'nothing once its window has ended', lease: { windowEndsAt: 10 }, amount: 1, covers: false },
  ])('$what', ({ lease, amount, covers }) => {
    expect(holdingOf(leaseOf(lease)).find(amount, 10) !== undefined).toBe(covers);
  });

  test('a reservation alone: two that cover it together do not', () => {
    expect(holdingOf(leaseOf(), leaseOf()).find(150, 0)).toBeUndefined();
  });
});

test.each([
  { lease: {}, spare: 0, keep: 0 },
  { lease: { reserved: 10, consumed: 20 }, spare: 0, keep: 30 },
  { lease: { reserved: 10, consumed: 20 }, spare: 50, keep: 80 },
  { lease: { reserved: 10, consumed: 20 }, spare: 500, keep: 100 },
  { lease: { reserved: 10, consumed: 200 }, spare: 0, keep: 100 },
])('of a lease with $lease and $spare to spare $keep is kept', ({ lease, spare, keep }) => {
  expect(keepOf(leaseOf(lease), spare)).toBe(keep);
});

test('demand is that of the last seconds, and forgotten after twice as long', () => {
  const holding = holdingOf();
  holding.noteDemand(10, 0);
  holding.noteDemand(10, 1_000);
  expect(holding.recentDemand(1_500)).toBe(20);
  expect(holding.recentDemand(3_000)).toBe(20);
  holding.noteDemand(5, 3_000);
  expect(holding.recentDemand(3_000)).toBe(25);
  expect(holding.recentDemand(7_000)).toBe(0);
});

test('it is low below a quarter of the demand, unless somebody asks already', () => {
  const holding = holdingOf(leaseOf({ reserved: 80 }));
  expect(holding.isLow(0)).toBe(false);
  holding.noteDemand(81, 0);
  expect(holding.isLow(0)).toBe(true);
  holding.asked = Promise.resolve();
  expect(holding.isLow(0)).toBe(false);
  holding.asked = undefined;
  holding.rest(0);
  expect(holding.isLow(500)).toBe(false);
  expect(holding.isLow(1_000)).toBe(true);
});

test('a refusal stands for a moment, for as much and more', () => {
  const holding = new Holding<string>('b', 's', 0);
  holding.refused(10, 'empty', 0);
  expect(holding.refusalOf(10, 100)).toBe('empty');
  expect(holding.refusalOf(9, 100)).toBeUndefined();
  expect(holding.refusalOf(10, 250)).toBeUndefined();
  holding.refused(10, 'empty', 300);
  holding.granted();
  expect(holding.refusalOf(10, 310)).toBeUndefined();
});

test('what has gone beyond a lease leaves nothing free, and time ends it', () => {
  expect(freeOf(leaseOf({ consumed: 150 }))).toBe(0);
  expect(isLive(leaseOf(), 14_999)).toBe(true);
  expect(isLive(leaseOf(), 15_000)).toBe(false);
});
