import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlowStart } from './slow-start.ts';

/** After a 429 at 0, of which `flight` calls were unanswered, itself among them; nothing may be sent before 1,000. */
function refused(flight = 1): SlowStart {
  const start = new SlowStart();
  for (let i = 0; i < flight; i++) start.began();
  start.answered(-1, false);
  start.refused(-1, 1_000, 0);
  return start;
}

/** Begins as many as may, and answers all of them: how many these were. */
function roundTrip(start: SlowStart, now: number): number {
  const calls = start.room(now);
  for (let i = 0; i < calls; i++) start.began();
  expect(start.room(now)).toBe(0);
  for (let i = 0; i < calls; i++) start.answered(now, true);
  return calls;
}

const roundTrips = (start: SlowStart, count: number, now = 1_000): number[] =>
  Array.from({ length: count }, () => roundTrip(start, now));

describe('after a 429', () => {
  test('as many as come, before the first', () => {
    expect(new SlowStart().room(0)).toBe(Infinity);
  });

  test('it doubles with each round trip, up to half of what was unanswered', () => {
    expect(roundTrips(refused(16), 4)).toEqual([1, 2, 4, 8]);
  });

  test('from there on it grows by one in about two round trips', () => {
    expect(roundTrips(refused(8), 10)).toEqual([1, 2, 4, 4, 4, 5, 5, 6, 6, 7]);
  });

  test('it is over when it has grown', () => {
    const start = refused(1_000);
    expect(roundTrips(start, 7)).toEqual([1, 2, 4, 8, 16, 32, 64]);
    expect(start.room(1_000)).toBe(Infinity);
  });

  test('or 30 s after the pause without another one', () => {
    const start = refused();
    expect(start.room(30_999)).toBe(1);
    expect(start.room(31_000)).toBe(Infinity);
  });

  test('a failure makes room, but not more of it', () => {
    const start = refused(8);
    start.began();
    start.answered(1_000, false);
    expect(start.room(1_000)).toBe(1);
  });
});

describe('what is of before the last 429', () => {
  test('an answer to it does not widen the window, nor does it take a place', () => {
    const start = refused(10);
    start.answered(-1, true);
    expect(start.room(1_000)).toBe(1);
  });

  test('another 429 to it narrows nothing, but its pause counts', () => {
    const start = refused(8);
    roundTrips(start, 2);
    start.refused(-1, 9_000, 2_000);
    expect(start.room(9_000)).toBe(4);
    expect(start.room(38_999)).toBe(4);
    expect(start.room(39_000)).toBe(Infinity);
  });
});

test('against a provider of any limit it comes near to it, and stays there', () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 50 }), (limit) => {
      const start = new SlowStart();
      let [now, served, refusals] = [0, 0, 0];
      // Round trips of 10 ms; of all calls at once, the provider takes `limit`.
      for (let trip = 0; trip < 2_000; trip++, now += 10) {
        const calls = Math.min(200, start.room(now));
        for (let i = 0; i < calls; i++) start.began();
        // A refusal takes no time.
        for (let i = limit; i < calls; i++) {
          start.answered(now, false);
          start.refused(now, now + 1, now + 1);
        }
        for (let i = 0; i < Math.min(calls, limit); i++) start.answered(now, true);
        served += Math.min(calls, limit);
        refusals += Math.max(0, calls - limit);
      }
      expect(served / (2_000 * limit)).toBeGreaterThan(0.65);
      expect(refusals / served).toBeLessThan(0.1);
    }),
  );
});
