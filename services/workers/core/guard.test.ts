import { describe, expect, test } from 'vitest';
import type { BreakerConfig, LimitsConfig } from '../../../shared/config.ts';
import { DEFAULT_BREAKER } from '../../../shared/config.ts';
import type { BreakerState } from './breaker.ts';
import type { CallPlan, Declined } from './guard.ts';
import { Call, Guard } from './guard.ts';
import type { Ending } from './verdict.ts';

const PLAN: CallPlan = { tokens: 0, isStream: false, isLastResort: false };
const FAILED: Ending = { code: 'upstream_failed' };
const DONE: Ending = { code: null };

interface Watched {
  readonly guard: Guard;
  readonly transitions: BreakerState[];
  /** Changes told since the last look. */
  readonly told: () => number;
}

function watch(limits: Partial<LimitsConfig> = {}, breaker: BreakerConfig | 'off' = DEFAULT_BREAKER): Watched {
  const transitions: BreakerState[] = [];
  let changes = 0;
  const guard = new Guard(
    {
      deployment: 'p/m',
      provider: 'p',
      limits: { requestsPerMinute: undefined, tokensPerMinute: undefined, ...limits },
      breaker: breaker === 'off' ? undefined : breaker,
      random: () => 0.5,
      onChange: () => changes++,
      onTransition: (to) => transitions.push(to),
    },
    0,
  );
  const told = (): number => {
    const count = changes;
    changes = 0;
    return count;
  };
  return { guard, transitions, told };
}

function admitted(guard: Guard, now: number, plan: Partial<CallPlan> = {}): Call {
  const call = guard.admit({ ...PLAN, ...plan }, now);
  if (!(call instanceof Call)) throw new Error(`declined: ${call.kind}`);
  return call;
}

const declined = (guard: Guard, now: number, plan: Partial<CallPlan> = {}): Declined | undefined => {
  const call = guard.admit({ ...PLAN, ...plan }, now);
  return call instanceof Call ? undefined : call;
};

function fail(guard: Guard, times: number, now: number): void {
  for (let i = 0; i < times; i++) admitted(guard, now).ended(FAILED, 0, now);
}

describe('the breaker', () => {
  test('declines once it is open, and says so at once', () => {
    const { guard, transitions, told } = watch();
    fail(guard, 4, 0);
    expect(told()).toBe(0);
    fail(guard, 1, 0);
    expect(told()).toBe(1);
    expect(transitions).toEqual(['open']);
    expect(declined(guard, 1)).toEqual({ kind: 'open' });
    expect(guard.report(1)).toMatchObject({ breaker: 'open', probeInMs: 9_999, failureRatio: 1 });
  });

  test('lets the last resort through, which neither closes it nor opens it anew', () => {
    const { guard, transitions } = watch();
    fail(guard, 5, 0);
    for (let i = 0; i < 5; i++) admitted(guard, 1, { isLastResort: true }).ended(DONE, 0, 1);
    expect({ state: guard.state(1), transitions }).toEqual({ state: 'open', transitions: ['open'] });
  });

  test('probes one at a time, and closes', () => {
    const { guard, transitions } = watch();
    fail(guard, 5, 0);
    expect(guard.report(10_000)).toMatchObject({ breaker: 'half_open', probeInMs: 0 });
    const probe = admitted(guard, 10_000);
    expect(declined(guard, 10_001)).toEqual({ kind: 'open' });
    expect(guard.report(10_001)).not.toHaveProperty('probeInMs');
    probe.ended(DONE, 0, 10_002);
    admitted(guard, 10_003).ended(DONE, 0, 10_004);
    expect({ state: guard.state(10_005), transitions }).toEqual({
      state: 'closed',
      transitions: ['open', 'half_open', 'closed'],
    });
  });

  test.each<Ending['code']>(['client_closed_request', 'upstream_rejected', 'upstream_throttled'])(
    'a probe that ends in %s makes room for the next',
    (code) => {
      const { guard } = watch();
      fail(guard, 5, 0);
      admitted(guard, 10_000).ended({ code, retryAfterMs: 0 }, 0, 10_001);
      expect(declined(guard, 10_002)).toBeUndefined();
    },
  );

  test('a probe that the limits decline is not lost', () => {
    const { guard } = watch({ requestsPerMinute: 5 });
    fail(guard, 5, 0);
    expect(declined(guard, 10_000)).toMatchObject({ kind: 'throttled' });
    expect(declined(guard, 12_100)).toBeUndefined();
  });

  test('switched off, it never opens', () => {
    const { guard } = watch({}, 'off');
    fail(guard, 100, 0);
    expect(declined(guard, 0)).toBeUndefined();
    expect(guard.report(0)).not.toHaveProperty('failureRatio');
  });

  test('no number of 429s opens it', () => {
    const { guard } = watch();
    for (let i = 0; i < 100; i++) admitted(guard, i).ended({ code: 'upstream_throttled', retryAfterMs: 1 }, 0, i);
    expect(guard.state(100)).toBe('closed');
  });
});

describe('limits', () => {
  test('are told at once when they are used up, and only then', () => {
    const { guard, told } = watch({ requestsPerMinute: 2 });
    admitted(guard, 0);
    expect(told()).toBe(0);
    admitted(guard, 0);
    expect(told()).toBe(1);
    expect(guard.report(0)).toMatchObject({ requests: { room: 0, perMinute: 2 } });
    // Another worker has its own.
    expect(guard.report(0).throttledMs).toBeUndefined();
    expect(guard.throttledMs(0)).toBeCloseTo(30_000, -2);
  });

  test('are told in parts to several routers, which fill them without a word to each other', () => {
    const { guard } = watch({ requestsPerMinute: 60 });
    admitted(guard, 0);
    expect(guard.report(0, ['a', 'b', 'c']).requests).toEqual({ room: 59 / 3, perMinute: 20 });
    expect(guard.report(0).requests).toEqual({ room: 59, perMinute: 60 });
  });

  test('decline with the time to wait, and say so again', () => {
    const { guard, told } = watch({ requestsPerMinute: 1 });
    admitted(guard, 0);
    told();
    const why = declined(guard, 20_000);
    expect(why).toMatchObject({ kind: 'throttled' });
    expect(why?.kind === 'throttled' ? why.retryAfterMs : 0).toBeCloseTo(40_000, -3);
    expect(told()).toBe(1);
  });

  test('hold for the last resort too', () => {
    const { guard } = watch({ requestsPerMinute: 1 });
    admitted(guard, 0);
    expect(declined(guard, 0, { isLastResort: true })).toMatchObject({ kind: 'throttled' });
  });

  test('count the tokens that were used, not those that were thought of', () => {
    const { guard } = watch({ tokensPerMinute: 1_000 });
    const call = admitted(guard, 0, { tokens: 800 });
    expect(guard.report(0).tokens).toEqual({ room: 200, perMinute: 1_000 });
    call.ended(DONE, 50, 0);
    expect(guard.report(0).tokens?.room).toBe(950);
  });

  test('a call that was withdrawn costs nothing', () => {
    const { guard } = watch({ requestsPerMinute: 2, tokensPerMinute: 1_000 });
    admitted(guard, 0, { tokens: 800 }).withdraw(0);
    expect(guard.report(0)).toMatchObject({ inFlight: 0, requests: { room: 2 }, tokens: { room: 1_000 } });
  });

  test('shared by all workers, are as the last answer said', () => {
    const { guard, told } = watch({ requestsPerMinute: 100 });
    guard.sharedRefused(500, 0);
    expect({ told: told(), ms: guard.throttledMs(100) }).toEqual({ told: 1, ms: 400 });
    guard.sharedAdmitted();
    expect(guard.throttledMs(100)).toBe(0);
  });

  test('a 429 blocks, and is told at once', () => {
    const { guard, told } = watch();
    const ended = admitted(guard, 0).ended({ code: 'upstream_throttled', retryAfterMs: 7_000 }, 0, 10);
    expect(ended?.blockedMs).toBe(7_000);
    expect(told()).toBeGreaterThan(0);
    expect(declined(guard, 11)).toEqual({ kind: 'throttled', retryAfterMs: 6_999 });
    expect(declined(guard, 7_010)).toBeUndefined();
  });

  test('after a 429, calls begin one by one, and each answer is told', () => {
    const { guard, told } = watch();
    admitted(guard, 0).ended({ code: 'upstream_throttled', retryAfterMs: 1_000 }, 0, 0);
    const first = admitted(guard, 1_000, { isStream: true });
    told();
    expect(declined(guard, 1_001)).toEqual({ kind: 'starting' });
    expect(told()).toBe(1);
    // Its first token: the provider has taken it.
    first.began(1_400);
    expect(told()).toBe(1);
    const second = admitted(guard, 1_401);
    admitted(guard, 1_401);
    expect(declined(guard, 1_402)).toEqual({ kind: 'starting' });
    second.withdraw(1_403);
    expect(declined(guard, 1_404)).toBeUndefined();
    first.ended(DONE, 0, 9_000);
    expect(declined(guard, 9_001)).toEqual({ kind: 'starting' });
  });

  test('a slow start is shared out in whole calls, the odd ones to another router each time', () => {
    const { guard } = watch();
    const routers = ['a', 'b', 'c'];
    expect(guard.report(0, routers)).not.toHaveProperty('starts');
    admitted(guard, 0).ended({ code: 'upstream_throttled', retryAfterMs: 0 }, 0, 0);
    const told = (): number[] => Object.values(guard.report(1, routers).starts ?? {});
    expect([told(), told(), told()]).toEqual([
      [1, 0, 0],
      [0, 0, 1],
      [0, 1, 0],
    ]);
    admitted(guard, 1).ended(DONE, 0, 1);
    for (let i = 0; i < 2; i++) admitted(guard, 2).ended(DONE, 0, 2);
    const grown = guard.report(3, routers).starts ?? {};
    expect(Object.values(grown).toSorted()).toEqual([0, 1, 1]);
    expect(guard.report(30_001, routers)).not.toHaveProperty('starts');
  });

  test('a 503 with a time is both: a failure, and a block', () => {
    const { guard } = watch();
    admitted(guard, 0).ended({ code: 'upstream_failed', upstream: { status: 503 }, retryAfterMs: 3_000 }, 0, 0);
    expect(guard.report(0)).toMatchObject({ throttledMs: 3_000, failureRatio: 1 });
  });
});

describe('durations', () => {
  test('of streams to their first token, of plain answers as a whole', () => {
    const { guard } = watch();
    const stream = admitted(guard, 0, { isStream: true });
    stream.began(40);
    stream.ended(DONE, 0, 900);
    const plain = admitted(guard, 0);
    plain.began(300);
    plain.ended(DONE, 0, 300);
    const { ttftMs, totalMs } = guard.report(40);
    expect([ttftMs, totalMs]).toEqual([40, 300]);
  });

  test('a hang shows, and so does whom a client left after long; not one that left at once', () => {
    const { guard } = watch();
    admitted(guard, 0, { isStream: true }).ended({ code: 'client_closed_request' }, 0, 5);
    expect(guard.report(5)).not.toHaveProperty('ttftMs');
    const quick = admitted(guard, 0, { isStream: true });
    quick.began(10);
    admitted(guard, 0, { isStream: true }).ended({ code: 'client_closed_request' }, 0, 900);
    expect(guard.report(900).ttftMs).toBe(900);
    admitted(guard, 900, { isStream: true }).ended({ code: 'upstream_timeout' }, 0, 5_900);
    expect(guard.report(5_900).ttftMs).toBe(5_000);
  });

  test('what is still silent counts with its age, so that a hang does not look better while it lasts', () => {
    const { guard } = watch();
    admitted(guard, 0).began(400);
    const hung = admitted(guard, 1_000);
    expect(guard.report(1_100).totalMs).toBeLessThan(400);
    expect(guard.report(31_000).totalMs).toBe(30_000);
    hung.ended({ code: 'client_closed_request' }, 0, 31_000);
    const plan = { isStream: true };
    admitted(guard, 40_000, plan).began(40_200);
    const late = admitted(guard, 41_000, plan);
    expect(guard.report(46_000).ttftMs).toBe(5_000);
    late.began(46_000);
    expect(guard.report(66_000).ttftMs).toBeLessThan(5_000);
  });
});

describe('the active health check', () => {
  test('closes the door while it fails, and opens it at once when it passes', () => {
    const { guard, told } = watch();
    guard.checked('status 500', 0);
    expect({ told: told(), why: declined(guard, 1) }).toEqual({ told: 1, why: { kind: 'open' } });
    expect(guard.report(1)).toMatchObject({ breaker: 'open', checkFailed: 'status 500' });
    told();
    guard.checked(null, 2);
    expect({ told: told(), why: declined(guard, 3) }).toEqual({ told: 1, why: undefined });
    expect(guard.report(3)).toMatchObject({ breaker: 'closed', checkFailed: null });
  });
});

describe('what is remembered', () => {
  test('is reported while it has traffic, a limit, or is not well', () => {
    const { guard } = watch();
    admitted(guard, 0).ended(DONE, 0, 0);
    expect([guard.isReported(59_999), guard.isReported(60_000)]).toEqual([true, false]);
    expect(watch({ tokensPerMinute: 1 }).guard.isReported(1e9)).toBe(true);
    fail(guard, 5, 0);
    expect(guard.isReported(1e9)).toBe(true);
  });

  test('is forgettable when it is idle and well', () => {
    const { guard } = watch();
    const call = admitted(guard, 0);
    expect(guard.isForgettable(600_000, 600_000)).toBe(false);
    call.ended(DONE, 0, 0);
    expect(guard.isForgettable(600_000, 600_000)).toBe(true);
    fail(guard, 5, 0);
    expect(guard.isForgettable(600_000, 600_000)).toBe(false);
  });

  test('a call ends once', () => {
    const { guard } = watch();
    const call = admitted(guard, 0);
    call.ended(FAILED, 0, 0);
    expect(call.ended(FAILED, 0, 0)).toBeUndefined();
    call.withdraw(0);
    expect(guard.inFlight).toBe(0);
  });
});
