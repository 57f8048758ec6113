import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';

const policy = { firstMs: 100, longestMs: 5_000 };

test.each([
  { failures: 1, least: 50, most: 100 },
  { failures: 2, least: 100, most: 200 },
  { failures: 6, least: 1_600, most: 3_200 },
  { failures: 7, least: 2_500, most: 5_000 },
  { failures: 10_000, least: 2_500, most: 5_000 },
])('after $failures failures: $least to $most ms', ({ failures, least, most }) => {
  expect(backoffMs(failures, () => 0, policy)).toBe(least);
  expect(backoffMs(failures, () => 1, policy)).toBe(most);
});

test('never no wait, never longer than the longest', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e9 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const wait = backoffMs(failures, () => random, policy);
      return wait >= 50 && wait <= 5_000;
    }),
  );
});
