import { describe, expect, test } from 'vitest';
import { TimeLimits } from './time-limits.ts';

const LIMITS = { connectMs: 1, firstTokenMs: 100, betweenTokensMs: 50, totalMs: 1_000 };

function limitsOf({ isStream = true, deadline = 10_000, progress = [] as number[] } = {}): TimeLimits {
  const limits = new TimeLimits(LIMITS, isStream, deadline, 0);
  for (const at of progress) limits.progress(at);
  return limits;
}

describe('the clocks of an attempt', () => {
  test.each([
    { now: 99, code: undefined, why: 'just before its first token must have come' },
    { now: 100, code: 'upstream_timeout', why: 'no first token' },
    { now: 148, progress: [99], code: undefined, why: 'a token came' },
    { now: 148, progress: [10, 99], code: undefined, why: 'the last token counts' },
    { now: 150, progress: [99, 100], code: 'upstream_timeout', why: 'silence after a token' },
    { now: 900, isPaused: true, progress: [10], code: undefined, why: 'the client has no room' },
    { now: 1_000, isPaused: true, progress: [990], code: 'upstream_timeout', why: 'in all too long, paused or not' },
    { now: 999, isStream: false, code: undefined, why: 'a plain answer sends nothing before its end' },
    { now: 1_000, isStream: false, code: 'upstream_timeout', why: 'a plain answer, in all too long' },
    { now: 60, deadline: 60, code: 'deadline_exceeded', why: 'the request’s own deadline' },
    { now: 1_000, deadline: 1_000, code: 'deadline_exceeded', why: 'the deadline before all others' },
    {
      now: 30,
      deadline: 20,
      isPaused: true,
      progress: [5],
      code: 'deadline_exceeded',
      why: 'the deadline while paused',
    },
  ])('at $now: $code ($why)', ({ now, code, isPaused = false, ...rest }) => {
    expect(limitsOf(rest).exceeded(now, isPaused)?.code).toBe(code);
  });

  test('the message tells a late beginning from a broken stream', () => {
    expect(limitsOf().exceeded(500, false)?.message).toContain('did not begin');
    expect(limitsOf({ progress: [1] }).exceeded(500, false)?.message).toContain('fell silent');
  });
});
