import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seeded } from '../../../shared/testing/seeded.ts';
import { expectedWaitMs, refuses, shortestWaitMs } from './expected-wait.ts';

describe('the wait', () => {
  test.each([
    {
      position: 0,
      capacity: 1,
      meanServiceMs: 500,
      earliestUsableInMs: 0,
      wait: 500,
      why: 'until the one slot is free',
    },
    { position: 9, capacity: 1, meanServiceMs: 500, earliestUsableInMs: 0, wait: 5_000, why: 'nine before it' },
    { position: 9, capacity: 20, meanServiceMs: 500, earliestUsableInMs: 0, wait: 250, why: 'twenty slots' },
    { position: 9, capacity: 20, meanServiceMs: 0, earliestUsableInMs: 0, wait: 0, why: 'no time at all each' },
    {
      position: 1,
      capacity: 2,
      meanServiceMs: 500,
      earliestUsableInMs: 300,
      wait: 500,
      why: 'slots become free meanwhile',
    },
    {
      position: 1,
      capacity: 2,
      meanServiceMs: 500,
      earliestUsableInMs: 2_000,
      wait: 2_000,
      why: 'throttled for longer',
    },
    {
      position: 5,
      capacity: 2,
      meanServiceMs: 500,
      earliestUsableInMs: 2_000,
      wait: 3_000,
      why: 'throttled, then a line',
    },
    { position: 5, capacity: 2, meanServiceMs: 500, earliestUsableInMs: Infinity, wait: Infinity, why: 'never' },
    { position: 5, capacity: 2, meanServiceMs: 500, earliestUsableInMs: -9, wait: 1_500, why: 'throttled in the past' },
    { position: 5, capacity: 0, meanServiceMs: 500, earliestUsableInMs: 0, wait: undefined, why: 'no worker is known' },
    {
      position: 5,
      capacity: 2,
      meanServiceMs: undefined,
      earliestUsableInMs: 0,
      wait: undefined,
      why: 'no time is known',
    },
    { position: 5, capacity: 2, meanServiceMs: NaN, earliestUsableInMs: 0, wait: undefined, why: 'nonsense' },
    {
      position: 5,
      capacity: 0,
      meanServiceMs: undefined,
      earliestUsableInMs: 70,
      wait: 70,
      why: 'only a throttle is known',
    },
  ])('$why: $wait', ({ wait, ...line }) => {
    expect(expectedWaitMs(line)).toBe(wait);
  });

  test('is never shorter than the throttle, nor than the line alone, and grows with the position', () => {
    const line = fc.record({
      position: fc.nat({ max: 10_000 }),
      capacity: fc.integer({ min: 1, max: 5_000 }),
      meanServiceMs: fc.integer({ min: 1, max: 60_000 }),
      earliestUsableInMs: fc.nat({ max: 100_000 }),
    });
    fc.assert(
      fc.property(line, (known) => {
        const wait = expectedWaitMs(known) ?? NaN;
        expect(wait).toBeGreaterThanOrEqual(known.earliestUsableInMs);
        expect(wait * (1 + 1e-9)).toBeGreaterThanOrEqual(expectedWaitMs({ ...known, earliestUsableInMs: 0 }) ?? NaN);
        expect(expectedWaitMs({ ...known, position: known.position + 1 })).toBeGreaterThanOrEqual(wait);
      }),
    );
  });

  test('is what a simulated pool needs on average', () => {
    const random = seeded(11);
    const [capacity, meanServiceMs, position] = [8, 1_000, 19];
    let total = 0;
    const runs = 2_000;
    for (let run = 0; run < runs; run++) {
      // Each busy slot ends after an exponential time, and goes to the next in line.
      const ends = Array.from({ length: capacity }, () => -meanServiceMs * Math.log(1 - random()));
      let now = 0;
      for (let served = 0; served <= position; served++) {
        now = Math.min(...ends);
        ends[ends.indexOf(now)] = now - meanServiceMs * Math.log(1 - random());
      }
      total += now;
    }
    const expected = expectedWaitMs({ position, capacity, meanServiceMs, earliestUsableInMs: 0 }) ?? NaN;
    expect(Math.abs(total / runs / expected - 1)).toBeLessThan(0.05);
  });
});

test.each([
  { waits: [], wait: undefined },
  { waits: [300, 100, 200], wait: 100 },
  { waits: [300, undefined], wait: undefined },
])('the shortest of $waits is $wait', ({ waits, wait }) => {
  expect(shortestWaitMs(waits)).toBe(wait);
});

test.each([
  { waitMs: undefined, remainingMs: 0, isRefused: false, why: 'nothing is known' },
  { waitMs: 800, remainingMs: 1_000, isRefused: false, why: 'it may just do' },
  { waitMs: 801, remainingMs: 1_000, isRefused: true, why: 'its answer would come too late' },
  { waitMs: Infinity, remainingMs: 1_000, isRefused: true, why: 'never' },
])('a wait of $waitMs with $remainingMs left is refused: $isRefused ($why)', ({ waitMs, remainingMs, isRefused }) => {
  expect(refuses({ waitMs, remainingMs })).toBe(isRefused);
});
