import fc from 'fast-check';
import { expect, test } from 'vitest';
import { freesAt, leftBefore, partOf } from './rolling.ts';

const HOUR = 3_600_000;

test('spending counts for the whole length, and for a sixtieth more at the most', () => {
  const length = fc.integer({ min: 60_000, max: 400 * 24 * HOUR });
  const moment = fc.integer({ min: 0, max: 4_000_000_000_000 });
  fc.assert(
    fc.property(length, moment, fc.double({ min: 0, max: 2, noNaN: true }), (rollingMs, spentAt, share) => {
      const age = Math.floor(share * rollingMs);
      const hasLeft = partOf(rollingMs, spentAt) <= leftBefore(rollingMs, spentAt + age);
      if (age < rollingMs) expect(hasLeft).toBe(false);
      if (age >= rollingMs + 2 * Math.ceil(rollingMs / 60)) expect(hasLeft).toBe(true);
    }),
  );
});

test.each([
  { missing: 1n, at: HOUR + HOUR / 60, why: 'with the oldest part' },
  { missing: 6n, at: 2 * HOUR + HOUR / 60, why: 'with the second' },
  { missing: 9n, at: undefined, why: 'more than there is' },
])('$missing is free again at $at ($why)', ({ missing, at }) => {
  const parts = [
    { startsAt: 0, spent: 5n },
    { startsAt: HOUR, spent: 3n },
  ];
  expect(freesAt(HOUR, parts, missing)).toBe(at);
});

test('what is free at a moment has left by then', () => {
  const at = freesAt(HOUR, [{ startsAt: partOf(HOUR, 7 * HOUR), spent: 1n }], 1n) ?? 0;
  expect(7 * HOUR <= leftBefore(HOUR, at)).toBe(true);
  expect(7 * HOUR <= leftBefore(HOUR, at - 1)).toBe(false);
});
