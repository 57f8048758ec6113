import { describe, expect, test } from 'vitest';
import { Limiter } from './limiter.ts';

const NONE = { requestsPerMinute: undefined, tokensPerMinute: undefined };
/** Ten requests and 6,000 tokens a minute: one request each 6 s, a token each 10 ms. */
const both = (): Limiter => new Limiter({ requestsPerMinute: 10, tokensPerMinute: 6_000 });

describe('taking', () => {
  test('without limits everything fits', () => {
    const limiter = new Limiter(NONE);
    for (let i = 0; i < 1_000; i++) expect(limiter.take(1e9, 0)).toBe(0);
    expect(limiter.throttledMs(0)).toBe(0);
    expect(limiter.requests(0)).toBeUndefined();
  });

  test('what one of the two refuses is charged to neither', () => {
    const limiter = both();
    expect(limiter.take(5_000, 0)).toBe(0);
    expect(limiter.take(2_000, 0)).toBeCloseTo(10_000, -2);
    expect(limiter.requests(0)).toEqual({ room: 9, perMinute: 10 });
    expect(limiter.tokens(0)?.room).toBe(1_000);
  });

  test('it tells how long until both fit', () => {
    const limiter = both();
    for (let i = 0; i < 10; i++) limiter.take(1, 0);
    expect(limiter.take(1, 0)).toBeCloseTo(6_000, -2);
    expect(limiter.throttledMs(0)).toBeCloseTo(6_000, -2);
    expect(limiter.throttledMs(6_000)).toBe(0);
  });

  test('tokens are corrected with what was used', () => {
    const limiter = both();
    limiter.take(5_000, 0);
    limiter.correct(-4_000, 0);
    expect(limiter.tokens(0)?.room).toBe(5_000);
    limiter.correct(7_000, 0);
    expect(limiter.throttledMs(0)).toBeGreaterThan(19_000);
  });

  test('what was taken in vain comes back', () => {
    const limiter = both();
    limiter.take(5_000, 0);
    limiter.giveBack(5_000, 0);
    expect([limiter.requests(0)?.room, limiter.tokens(0)?.room]).toEqual([10, 6_000]);
  });
});

describe('what the provider tells', () => {
  test('makes a limit where none is configured', () => {
    const limiter = new Limiter(NONE);
    limiter.learn({ requests: { limit: 60, remaining: 1 } }, 0);
    expect(limiter.take(0, 0)).toBe(0);
    expect(limiter.take(0, 0)).toBeGreaterThan(900);
    expect(limiter.requests(0)).toEqual({ room: 0, perMinute: 60 });
  });

  test('may raise again what it had lowered, but not what is configured', () => {
    const limiter = both();
    limiter.learn({ requests: { limit: 5 } }, 0);
    expect(limiter.requests(0)?.perMinute).toBe(5);
    limiter.learn({ requests: { limit: 500 } }, 0);
    expect(limiter.requests(0)?.perMinute).toBe(10);
  });
});

describe('a 429', () => {
  test('with a time blocks until then', () => {
    const limiter = new Limiter(NONE);
    expect(limiter.block(7_000, 0, 100)).toBe(7_000);
    expect(limiter.take(0, 7_099)).toBe(1);
    expect(limiter.take(0, 7_100)).toBe(0);
  });

  test('without a time blocks for a second, then two, up to thirty', () => {
    const limiter = new Limiter(NONE);
    const pauses = [];
    for (let now = 0, i = 0; i < 7; i++) {
      const pause = limiter.block('unsaid', now, now);
      pauses.push(pause);
      now += pause;
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test('is followed by a slow start: the next call once the last one is answered', () => {
    const limiter = new Limiter(NONE);
    limiter.block(1_000, 0, 0);
    expect(limiter.starts(500)).toBe(1);
    expect([limiter.take(0, 1_000), limiter.take(0, 1_000)]).toEqual([0, 'starting']);
    expect(limiter.answered(1_000, true, 1_200)).toBe(true);
    expect([limiter.take(0, 1_200), limiter.take(0, 1_200), limiter.take(0, 1_200)]).toEqual([0, 0, 'starting']);
    expect([limiter.starts(1_200), limiter.hasLimit(1_200)]).toEqual([0, true]);
    expect([limiter.starts(31_000), limiter.hasLimit(31_000)]).toEqual([undefined, false]);
  });

  test('a call that must wait for an answer is charged nothing', () => {
    const limiter = both();
    limiter.block(0, 0, 0);
    limiter.take(1_000, 0);
    expect(limiter.take(1_000, 0)).toBe('starting');
    expect([limiter.requests(0)?.room, limiter.tokens(0)?.room]).toEqual([9, 5_000]);
  });

  test('a hundred at once are one', () => {
    const limiter = new Limiter(NONE);
    for (let i = 0; i < 100; i++) limiter.block('unsaid', i / 10, 50);
    expect(limiter.throttledMs(50)).toBe(1_000);
  });

  test('after a success is the first again', () => {
    const limiter = new Limiter(NONE);
    limiter.block('unsaid', 0, 0);
    limiter.block('unsaid', 1_000, 1_000);
    limiter.succeeded(3_000);
    expect(limiter.block('unsaid', 3_500, 3_500)).toBe(1_000);
  });

  test('an answer to a call of before does not end the row', () => {
    const limiter = new Limiter(NONE);
    limiter.block('unsaid', 0, 100);
    limiter.succeeded(50);
    expect(limiter.block('unsaid', 1_100, 1_100)).toBe(2_000);
  });
});
