import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Gcra } from './gcra.ts';

/** One unit per second, ten at once. */
const tenAtOnce = (): Gcra => new Gcra({ perMinute: 60, burst: 10 });

/** Units per millisecond are powers of two, so that the plain model's sums are exact. */
const limits = fc.record({
  emissionIntervalMs: fc.constantFrom(0.25, 1, 8, 64, 1_024),
  burst: fc.integer({ min: 1, max: 30 }),
});
const steps = (maxCost: number): fc.Arbitrary<Array<{ waitMs: number; cost: number }>> =>
  fc.array(fc.record({ waitMs: fc.nat(2_000), cost: fc.integer({ min: 1, max: maxCost }) }), { maxLength: 100 });

/** The obvious one: tokens that are refilled with time, and may be below zero after a cost above the burst. */
class TokenBucket {
  tokens: number;
  readonly #burst: number;
  readonly #intervalMs: number;
  #at = 0;

  constructor(burst: number, intervalMs: number) {
    this.tokens = burst;
    this.#burst = burst;
    this.#intervalMs = intervalMs;
  }

  refill(now: number): void {
    this.tokens = Math.min(this.#burst, this.tokens + (now - this.#at) / this.#intervalMs);
    this.#at = now;
  }

  take(cost: number, now: number): boolean {
    this.refill(now);
    if (this.tokens < Math.min(cost, this.#burst)) return false;
    this.tokens -= cost;
    return true;
  }

  give(cost: number, now: number): void {
    this.refill(now);
    this.tokens = Math.min(this.#burst, this.tokens + cost);
  }
}

describe('taking', () => {
  test('a burst, then one unit per interval', () => {
    const gcra = tenAtOnce();
    for (let i = 0; i < 10; i++) expect(gcra.take(1, 0)).toBe(true);
    expect(gcra.take(1, 0)).toBe(false);
    expect(gcra.take(1, 998)).toBe(false);
    expect(gcra.take(1, 1_000)).toBe(true);
    expect(gcra.take(1, 1_000)).toBe(false);
    expect(gcra.take(2, 3_000)).toBe(true);
  });

  test('a cost above the burst waits for a full bucket, then takes it into debt', () => {
    const gcra = tenAtOnce();
    expect(gcra.take(1, 0)).toBe(true);
    expect(gcra.take(25, 0)).toBe(false);
    expect(gcra.availableAt(25, 0)).toBeCloseTo(1_000, -1);
    expect(gcra.take(25, 1_000)).toBe(true);
    expect(gcra.room(1_000)).toBe(0);
    expect(gcra.availableAt(1, 1_000)).toBeCloseTo(17_000, -1);
  });

  test('it decides as a token bucket does', () => {
    const acts = fc.array(
      fc.record({
        waitMs: fc.nat(2_000),
        cost: fc.integer({ min: 1, max: 40 }),
        act: fc.constantFrom('take', 'take', 'take', 'give', 'charge'),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(limits, acts, ({ emissionIntervalMs, burst }, played) => {
        const gcra = new Gcra({ perMinute: 60_000 / emissionIntervalMs, burst });
        const bucket = new TokenBucket(burst, emissionIntervalMs);
        let now = 0;
        for (const { waitMs, cost, act } of played) {
          now += waitMs;
          if (act === 'take') expect(gcra.take(cost, now)).toBe(bucket.take(cost, now));
          if (act === 'give') gcra.give(cost, now);
          if (act === 'give') bucket.give(cost, now);
          if (act === 'charge') gcra.charge(cost, now);
          if (act === 'charge') bucket.give(-cost, now);
          bucket.refill(now);
          expect(gcra.room(now)).toBe(Math.max(0, Math.floor(bucket.tokens + 1e-3)));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('in no stretch of time is more admitted than the burst, the refill and one cost above the burst', () => {
    const rates = fc.record({ perMinute: fc.integer({ min: 1, max: 1e6 }), burst: fc.integer({ min: 1, max: 500 }) });
    fc.assert(
      fc.property(rates, steps(700), (config, played) => {
        const gcra = new Gcra(config);
        const admitted: Array<{ at: number; cost: number }> = [];
        let now = 0;
        for (const { waitMs, cost } of played) {
          now += waitMs / 7;
          if (gcra.take(cost, now)) admitted.push({ at: now, cost });
          expect(gcra.room(now)).toBeGreaterThanOrEqual(0);
        }
        for (const [first, { at: from }] of admitted.entries()) {
          let sum = 0;
          let largest = config.burst;
          for (const { at, cost } of admitted.slice(first)) {
            sum += cost;
            largest = Math.max(largest, cost);
            expect(sum).toBeLessThanOrEqual(largest + ((at - from) * config.perMinute) / 60_000 + 0.01);
          }
        }
      }),
    );
  });

  test('a cost is admitted at the time it is told, and not a unit’s tenth before', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        steps(50),
        fc.integer({ min: 1, max: 50 }),
        (perMinute, played, cost) => {
          const gcra = new Gcra({ perMinute, burst: 20 });
          let now = 1e6;
          for (const step of played) gcra.take(step.cost, (now += step.waitMs / 1_000));
          const at = gcra.availableAt(cost, now);
          const before = at - 6_000 / perMinute;
          if (before > now) expect(gcra.take(cost, before)).toBe(false);
          expect(gcra.take(cost, at)).toBe(true);
        },
      ),
    );
  });

  test('all the room can be taken, and no more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), steps(50), (perMinute, played) => {
        const gcra = new Gcra({ perMinute, burst: 20 });
        let now = 1e6;
        for (const step of played) gcra.take(step.cost, (now += step.waitMs / 1_000));
        const room = gcra.room(now);
        if (room < 20) expect(gcra.take(room + 1, now)).toBe(false);
        if (room > 0) expect(gcra.take(room, now)).toBe(true);
      }),
    );
  });
});

describe('correcting an estimate', () => {
  test('what is given back can be taken again, never beyond full', () => {
    const gcra = tenAtOnce();
    gcra.take(8, 0);
    gcra.give(5, 0);
    expect(gcra.room(0)).toBe(7);
    gcra.give(500, 0);
    expect(gcra.room(0)).toBe(10);
    expect(gcra.take(10, 0)).toBe(true);
    expect(gcra.take(1, 0)).toBe(false);
  });

  test('what is charged is gone even where there is none', () => {
    const gcra = tenAtOnce();
    gcra.take(8, 0);
    gcra.charge(5, 0);
    expect(gcra.room(0)).toBe(0);
    expect(gcra.room(4_000)).toBe(1);
  });
});

describe('what a provider tells', () => {
  test('a block holds until its time, and the later of two counts', () => {
    const gcra = tenAtOnce();
    expect(gcra.blockedUntil).toBeUndefined();
    gcra.blockUntil(5_000);
    gcra.blockUntil(3_000);
    expect(gcra.blockedUntil).toBe(5_000);
    expect(gcra.room(4_999)).toBe(0);
    expect(gcra.take(1, 4_999)).toBe(false);
    expect(gcra.availableAt(1, 0)).toBe(5_000);
    expect(gcra.room(5_000)).toBe(10);
    expect(gcra.take(1, 5_000)).toBe(true);
  });

  test.each([
    { told: { remaining: 4 }, room: 4, why: 'less than our room' },
    { told: { remaining: 40 }, room: 8, why: 'more than our room' },
    { told: { remaining: 0 }, room: 0, why: 'nothing left' },
    { told: { perMinute: 600 }, room: 8, why: 'a larger limit than the configured' },
    { told: { perMinute: 6 }, room: 4, why: 'a smaller one, of which two are used' },
    { told: { perMinute: 6, remaining: 3 }, room: 3, why: 'both' },
    { told: { perMinute: 0, remaining: 7 }, room: 7, why: 'a limit that is none' },
    { told: {}, room: 8, why: 'nothing' },
  ])('$told leaves room for $room ($why)', ({ told, room }) => {
    const gcra = tenAtOnce();
    gcra.take(2, 0);
    gcra.learn(told, 0);
    expect(gcra.room(0)).toBe(room);
  });

  test('the smaller rate holds until a larger one is told', () => {
    const gcra = tenAtOnce();
    gcra.learn({ perMinute: 6 }, 0);
    gcra.take(6, 0);
    expect(gcra.room(10_000)).toBe(1);
    gcra.learn({ perMinute: 6_000 }, 10_000);
    gcra.take(gcra.room(10_000), 10_000);
    expect(gcra.room(12_000)).toBe(2);
  });

  test('a debt of the old rate is no more than an empty bucket of the new one', () => {
    const gcra = tenAtOnce();
    gcra.charge(500, 0);
    gcra.learn({ perMinute: 6 }, 0);
    expect(gcra.room(9_000)).toBe(0);
    expect(gcra.room(10_000)).toBe(1);
  });

  test('the same limit told again changes nothing', () => {
    const gcra = tenAtOnce();
    gcra.learn({ perMinute: 20 }, 0);
    gcra.charge(50, 0);
    const at = gcra.availableAt(1, 0);
    gcra.learn({ perMinute: 20 }, 0);
    expect(gcra.availableAt(1, 0)).toBe(at);
  });

  test.each([
    { why: 'configured', gcra: tenAtOnce(), told: {} },
    { why: 'told', gcra: new Gcra({ perMinute: undefined, burst: undefined }), told: { perMinute: 60 } },
  ])('nothing remaining is an empty bucket where the rate is $why, however late it is full', ({ gcra, told }) => {
    gcra.learn({ ...told, remaining: 0, resetMs: 60_000 }, 0);
    expect(gcra.blockedUntil).toBeUndefined();
    expect(gcra.take(1, 998)).toBe(false);
    expect(gcra.take(1, 1_000)).toBe(true);
    expect(gcra.take(1, 1_000)).toBe(false);
  });

  test('where no rate is known, nothing remaining blocks until the reset, and something does not', () => {
    const gcra = new Gcra({ perMinute: undefined, burst: undefined });
    gcra.learn({ remaining: 5, resetMs: 9_000 }, 0);
    expect(gcra.blockedUntil).toBeUndefined();
    gcra.learn({ remaining: 0, resetMs: 9_000 }, 0);
    expect(gcra.blockedUntil).toBe(9_000);
  });

  test('without a configured limit everything passes until one is told', () => {
    const gcra = new Gcra({ perMinute: undefined, burst: undefined });
    expect(gcra.take(1e9, 0)).toBe(true);
    gcra.charge(5, 0);
    expect(gcra.room(0)).toBe(Infinity);
    gcra.learn({ remaining: 0, resetMs: 1_000 }, 0);
    expect(gcra.take(1, 999)).toBe(false);
    expect(gcra.take(1, 1_000)).toBe(true);
    gcra.learn({ perMinute: 60, remaining: 20 }, 1_000);
    expect(gcra.room(1_000)).toBe(20);
    expect(gcra.room(6_000)).toBe(25);
    expect(gcra.room(600_000)).toBe(60);
    gcra.learn({ perMinute: 120 }, 600_000);
    expect(gcra.room(700_000)).toBe(120);
  });
});
