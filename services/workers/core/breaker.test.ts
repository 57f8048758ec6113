import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BreakerConfig } from '../../../shared/config.ts';
import { Breaker, type Permit } from './breaker.ts';

const config: BreakerConfig = {
  consecutiveFailures: 5,
  failureRatio: 0.5,
  windowMs: 10_000,
  minRequests: 10,
  openForMs: 1_000,
  slowCallMs: 200,
  slowRatio: 0.8,
};
const NO_JITTER = (): number => 0.5;

function admitted(breaker: Breaker, now: number): Permit {
  const permit = breaker.admit(now);
  if (permit === undefined) throw new Error('not admitted');
  return permit;
}

/** One call after the other at `now`: `.` succeeds, `s` slowly, `f` fails, `r` says nothing. */
function play(breaker: Breaker, outcomes: string, now = 0): void {
  for (const outcome of outcomes) {
    const permit = admitted(breaker, now);
    if (outcome === 'f') breaker.failed(permit, now);
    else if (outcome === 'r') breaker.released(permit);
    else breaker.succeeded(permit, now, outcome === 's' ? 201 : 200);
  }
}

function broken(overrides: Partial<BreakerConfig> = {}, random = NO_JITTER): Breaker {
  const breaker = new Breaker({ ...config, ...overrides }, random);
  play(breaker, 'fffff');
  expect(breaker.state(0)).toBe('open');
  return breaker;
}

describe('what opens it', () => {
  test.each([
    { outcomes: 'ffff', state: 'closed', why: 'one failure short' },
    { outcomes: 'fffff', state: 'open', why: 'five in a row' },
    { outcomes: 'ffff.ffff', state: 'closed', why: 'a success between, and too few calls for a share' },
    { outcomes: 'ffffrf', state: 'open', why: 'what says nothing does not break the row' },
    { outcomes: 'rrrrrrrrrrrr', state: 'closed', why: 'nor does it count' },
    { outcomes: 'ff.ff.f...', state: 'closed', why: 'exactly at the share' },
    { outcomes: 'ff.ff.ff..', state: 'open', why: 'above it' },
    { outcomes: 'ff.ff.ff.', state: 'closed', why: 'above it with nine calls' },
    { outcomes: 'ssssssss..', state: 'closed', why: 'slow calls exactly at their share' },
    { outcomes: 'sssssssss.', state: 'open', why: 'slow calls above it' },
    { outcomes: 'sssssssss', state: 'closed', why: 'nine slow calls' },
    { outcomes: 'ssssfssss', state: 'closed', why: 'a slow call ends a row of failures' },
  ])('$outcomes -> $state ($why)', ({ outcomes, state }) => {
    const breaker = new Breaker(config, NO_JITTER);
    play(breaker, outcomes);
    expect(breaker.state(0)).toBe(state);
  });

  test('without a limit no call is slow', () => {
    const breaker = new Breaker({ ...config, slowCallMs: undefined }, NO_JITTER);
    play(breaker, 'ssssssssssssssss');
    expect(breaker.state(0)).toBe('closed');
  });

  test('silence forgets the share', () => {
    const breaker = new Breaker(config, NO_JITTER);
    play(breaker, 'ff.ff.ff.', 0);
    expect(breaker.failureRatio(9_999)).toBeCloseTo(6 / 9);
    expect(breaker.failureRatio(10_000)).toBe(0);
    play(breaker, 'ffff', 10_000);
    expect(breaker.state(10_000)).toBe('closed');
  });

  test('it opens exactly when a list of all calls says so', () => {
    const calls = fc.array(fc.record({ waitMs: fc.nat(1_500), outcome: fc.constantFrom('.', 's', 'f', 'r') }), {
      maxLength: 80,
    });
    const limits = fc.record({
      consecutiveFailures: fc.integer({ min: 1, max: 8 }),
      failureRatio: fc.constantFrom(0.2, 0.5, 1),
      minRequests: fc.integer({ min: 1, max: 12 }),
      slowRatio: fc.constantFrom(0.3, 0.6, 1),
    });
    fc.assert(
      fc.property(calls, limits, (steps, overrides) => {
        const rules = { ...config, ...overrides };
        const breaker = new Breaker(rules, NO_JITTER);
        const seen: Array<{ at: number; outcome: string }> = [];
        let now = 0;
        for (const { waitMs, outcome } of steps) {
          now += waitMs;
          play(breaker, outcome, now);
          if (outcome !== 'r') seen.push({ at: now, outcome });
          const recent = seen.filter(({ at }) => Math.floor(at / 1_000) > Math.floor(now / 1_000) - 10);
          const share = (of: string): number => recent.filter((call) => call.outcome === of).length / recent.length;
          const row = seen.length - 1 - seen.findLastIndex((call) => call.outcome !== 'f');
          const isOpen =
            outcome !== 'r' &&
            (row >= rules.consecutiveFailures ||
              (recent.length >= rules.minRequests &&
                (share('f') > rules.failureRatio || share('s') > rules.slowRatio)));
          expect(breaker.state(now)).toBe(isOpen ? 'open' : 'closed');
          if (isOpen) return;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('while open', () => {
  test('nothing is admitted until its time, then one probe', () => {
    const breaker = broken();
    expect(breaker.retryAt).toBe(1_000);
    expect(breaker.admit(999)).toBeUndefined();
    expect(breaker.canProbe(999)).toBe(false);
    expect(breaker.state(999)).toBe('open');
    expect(breaker.state(1_000)).toBe('half_open');
    expect(breaker.canProbe(1_000)).toBe(true);
    expect(breaker.admit(1_000)).toBeDefined();
    expect(breaker.canProbe(1_000)).toBe(false);
    expect(breaker.admit(1_000)).toBeUndefined();
    expect(breaker.retryAt).toBeUndefined();
  });

  test('calls that began before change nothing', () => {
    const breaker = new Breaker(config, NO_JITTER);
    const late = [1, 2, 3].map(() => admitted(breaker, 0));
    play(breaker, 'fffff');
    breaker.failed(late[0]!, 500);
    breaker.succeeded(late[1]!, 500, 1);
    breaker.released(late[2]!);
    expect(breaker.retryAt).toBe(1_000);
    expect(breaker.state(500)).toBe('open');
  });

  test.each([
    { random: 0, ms: 900 },
    { random: 0.5, ms: 1_000 },
    { random: 1, ms: 1_100 },
  ])('the time is spread by a tenth: random $random is $ms ms', ({ random, ms }) => {
    expect(broken({}, () => random).retryAt).toBeCloseTo(ms);
  });

  test('each failed probe doubles the time, up to 8 times the first', () => {
    const breaker = broken();
    const times: number[] = [];
    for (let now = breaker.retryAt!; times.length < 7; now = breaker.retryAt!) {
      play(breaker, 'f', now);
      times.push(breaker.retryAt! - now);
    }
    expect(times).toEqual([2_000, 4_000, 8_000, 8_000, 8_000, 8_000, 8_000]);
  });

  test('closing begins the times anew, one good probe does not', () => {
    const breaker = broken();
    play(breaker, '.f', 1_000);
    expect(breaker.retryAt).toBe(3_000);
    play(breaker, '..', 3_000);
    play(breaker, 'fffff', 3_000);
    expect(breaker.retryAt).toBe(4_000);
  });
});

describe('while half open', () => {
  test('two good probes close it, with a clean window', () => {
    const breaker = broken();
    play(breaker, '.', 1_000);
    expect(breaker.state(1_000)).toBe('half_open');
    play(breaker, '.', 1_000);
    expect(breaker.state(1_000)).toBe('closed');
    expect(breaker.failureRatio(1_000)).toBe(0);
    expect(breaker.canProbe(1_000)).toBe(false);
    play(breaker, 'ffff', 1_000);
    expect(breaker.state(1_000)).toBe('closed');
  });

  test('slow calls from before it opened are forgotten as well', () => {
    const breaker = new Breaker(config, NO_JITTER);
    play(breaker, 'sssssssss.');
    play(breaker, '..', 1_000);
    play(breaker, '..........', 1_000);
    expect(breaker.state(1_000)).toBe('closed');
  });

  test('a probe that says nothing makes way for the next and spoils no row', () => {
    const breaker = broken();
    play(breaker, '.rrr', 1_000);
    expect(breaker.state(1_000)).toBe('half_open');
    play(breaker, '.', 1_000);
    expect(breaker.state(1_000)).toBe('closed');
  });

  test('a slow probe has failed, unless slow calls never open it', () => {
    const strict = broken();
    play(strict, 's', 1_000);
    expect(strict.state(1_000)).toBe('open');
    const lenient = broken({ slowRatio: 1 });
    play(lenient, 'ss', 1_000);
    expect(lenient.state(1_000)).toBe('closed');
  });

  test('a call from before it opened is no probe: it neither frees nor decides', () => {
    const breaker = new Breaker(config, NO_JITTER);
    const late = admitted(breaker, 0);
    play(breaker, 'fffff');
    admitted(breaker, 1_000);
    breaker.released(late);
    breaker.succeeded(late, 1_000, 1);
    breaker.failed(late, 1_000);
    expect(breaker.state(1_000)).toBe('half_open');
    expect(breaker.canProbe(1_000)).toBe(false);
  });

  test('a probe that never reports is replaced after a minute, and its late report does not count', () => {
    const breaker = broken();
    const lost = admitted(breaker, 1_000);
    expect(breaker.admit(60_999)).toBeUndefined();
    const next = admitted(breaker, 61_000);
    breaker.failed(lost, 61_000);
    breaker.released(lost);
    expect(breaker.admit(61_000)).toBeUndefined();
    breaker.succeeded(next, 61_000, 1);
    breaker.succeeded(next, 61_000, 1);
    expect(breaker.state(61_000)).toBe('half_open');
  });
});

test('whatever happens: no call while open, one live probe while half open, and never stuck', () => {
  const step = fc.record({
    waitMs: fc.nat(3_000),
    act: fc.constantFrom('admit', 'admit', 'succeed', 'slow', 'fail', 'fail', 'release'),
    which: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.double({ min: 0, max: 1, noNaN: true }), (steps, random) => {
      const breaker = new Breaker({ ...config, consecutiveFailures: 3 }, () => random);
      const underWay: Array<{ permit: Permit; asProbe: boolean; at: number }> = [];
      let now = 0;
      for (const { waitMs, act, which } of steps) {
        now += waitMs;
        const before = breaker.state(now);
        if (act === 'admit') {
          const permit = breaker.admit(now);
          if (before !== 'half_open') expect(permit !== undefined).toBe(before === 'closed');
          if (permit === undefined) continue;
          const live = underWay.filter((call) => call.asProbe && now - call.at < 60_000);
          if (before === 'half_open') expect(live).toEqual([]);
          underWay.push({ permit, asProbe: before === 'half_open', at: now });
          continue;
        }
        const [call] = underWay.splice(which % Math.max(1, underWay.length), 1);
        if (call === undefined) continue;
        if (act === 'fail') breaker.failed(call.permit, now);
        else if (act === 'release') breaker.released(call.permit);
        else breaker.succeeded(call.permit, now, act === 'slow' ? 300 : 100);
        if (before === 'open') expect(breaker.state(now)).toBe('open');
      }
      // The longest time open, or a lost probe's minute.
      expect(breaker.admit(now + 60_000)).toBeDefined();
    }),
    { numRuns: 500 },
  );
});
