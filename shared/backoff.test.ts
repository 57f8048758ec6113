import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fullJitter } from './backoff.ts';

const policy = { baseMs: 100, capMs: 5_000 };

test.each([
  { attempt: 0, most: 100 },
  { attempt: 1, most: 200 },
  { attempt: 5, most: 3_200 },
  { attempt: 6, most: 5_000 },
  { attempt: 100_000, most: 5_000 },
])('retry $attempt waits between nothing and $most ms', ({ attempt, most }) => {
  expect(fullJitter(attempt, policy, () => 0)).toBe(0);
  expect(fullJitter(attempt, policy, () => 0.5)).toBe(most / 2);
  expect(fullJitter(attempt, policy, () => 1)).toBe(most);
});

test('the same draw never waits less for a later attempt', () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
      const wait = (of: number): number => fullJitter(of, policy, () => random);
      return wait(attempt) <= wait(attempt + 1);
    }),
  );
});
