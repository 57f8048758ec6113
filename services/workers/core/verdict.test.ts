import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../../shared/errors.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import { verdictOf } from './verdict.ts';

const FAILURES: ErrorCode[] = [
  'upstream_failed',
  'upstream_unreachable',
  'upstream_timeout',
  'upstream_malformed',
  'upstream_cut_off',
  'upstream_unauthorized',
];

test('a whole answer is a success', () => {
  expect(verdictOf({ code: null })).toEqual({ health: 'success', isOverload: false, blockedMs: undefined });
});

describe.each(Object.keys(ERRORS) as ErrorCode[])('%s', (code) => {
  test(`says ${FAILURES.includes(code) ? 'that the deployment failed' : 'nothing of the deployment'}`, () => {
    expect(verdictOf({ code }).health).toBe(FAILURES.includes(code) ? 'failure' : 'none');
  });
});

test.each([
  { what: 'a 500', status: 500, health: 'failure' },
  { what: 'a 503 without a time', status: 503, health: 'failure', isOverload: true },
  { what: 'a 503 with a time', status: 503, retryAfterMs: 5_000, health: 'failure', isOverload: true, blocked: 5_000 },
  { what: 'a 500 with a time', status: 500, retryAfterMs: 5_000, health: 'failure' },
  { what: 'a 408', status: 408, health: 'failure' },
  { what: 'a conflict', status: 409, health: 'none' },
  { what: 'a 425', status: 425, health: 'none' },
])('$what', ({ status, retryAfterMs, health, isOverload = false, blocked }) => {
  expect(verdictOf({ code: 'upstream_failed', upstream: { status }, retryAfterMs })).toEqual({
    health,
    isOverload,
    blockedMs: blocked,
  });
});

test.each([
  { retryAfterMs: 7_000, blockedMs: 7_000 },
  { retryAfterMs: 0, blockedMs: 0 },
  { retryAfterMs: undefined, blockedMs: 'unsaid' },
])('a 429 with Retry-After $retryAfterMs blocks for $blockedMs and is no failure', ({ retryAfterMs, blockedMs }) => {
  expect(verdictOf({ code: 'upstream_throttled', retryAfterMs })).toEqual({
    health: 'none',
    isOverload: true,
    blockedMs,
  });
});

test('a time-out asks for fewer calls at once', () => {
  expect(verdictOf({ code: 'upstream_timeout' }).isOverload).toBe(true);
});
