import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AdaptiveLimit } from './adaptive-limit.ts';

const succeed = (limit: AdaptiveLimit, times: number, inFlight: number): number => {
  for (let i = 0; i < times; i++) limit.succeeded(inFlight);
  return limit.limit;
};

test('it grows by one for each limit’s worth of successes', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 100, initial: 10 });
  expect(succeed(limit, 9, 10)).toBe(10);
  expect(succeed(limit, 1, 10)).toBe(11);
  expect(succeed(limit, 10, 10)).toBe(11);
  expect(succeed(limit, 1, 10)).toBe(12);
});

test('it grows only when at least half of it is in flight', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 100, initial: 10 });
  expect(succeed(limit, 1_000, 4)).toBe(10);
  expect(succeed(limit, 10, 5)).toBe(11);
});

test('it never leaves its bounds', () => {
  expect(succeed(new AdaptiveLimit({ min: 1, max: 12, initial: 10 }), 1_000, 12)).toBe(12);
  expect(new AdaptiveLimit({ min: 5, max: 12, initial: 1 }).limit).toBe(5);
  expect(new AdaptiveLimit({ min: 5, max: 12, initial: 50 }).limit).toBe(12);
  const limit = new AdaptiveLimit({ min: 5, max: 12, initial: 8 });
  for (let i = 0; i < 20; i++) limit.overloaded(i * 1_000);
  expect(limit.limit).toBe(5);
});

test('an overload takes a tenth, a burst of them counts once', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 100, initial: 100 });
  for (const now of [0, 1, 500, 999]) limit.overloaded(now);
  expect(limit.limit).toBe(90);
  limit.overloaded(1_000);
  expect(limit.limit).toBe(81);
});

test('small limits fall as well', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 10, initial: 3 });
  limit.overloaded(0);
  limit.overloaded(1_000);
  limit.overloaded(2_000);
  expect(limit.limit).toBe(1);
});

test('an overload forgets the successes before it', () => {
  const limit = new AdaptiveLimit({ min: 1, max: 100, initial: 10 });
  succeed(limit, 9, 10);
  limit.overloaded(0);
  expect(succeed(limit, 8, 10)).toBe(9);
  expect(succeed(limit, 1, 10)).toBe(10);
});

test('against a provider that refuses above its capacity it stays near that capacity', () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 1, max: 100 }), (capacity, initial) => {
      const limit = new AdaptiveLimit({ min: 1, max: 100, initial });
      for (let second = 0; second < 300; second++) {
        const inFlight = limit.limit;
        if (inFlight > capacity) limit.overloaded(second * 1_000);
        else succeed(limit, inFlight, inFlight);
        if (second > 100) {
          expect(limit.limit).toBeLessThanOrEqual(capacity + 1);
          expect(limit.limit).toBeGreaterThanOrEqual(Math.floor((capacity + 1) * 0.9));
        }
      }
    }),
  );
});
