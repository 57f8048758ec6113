import { describe, expect, test } from 'vitest';
import type { RoutePolicy } from '../../../shared/config.ts';
import { DEFAULT_POLICY } from '../../../shared/config.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import type { NextStep, SoFar } from './next-step.ts';
import { nextStep, restBeforeRound } from './next-step.ts';

const FULL = { tryWithdraw: () => true };
const EMPTY = { tryWithdraw: () => false };
const NOTHING_YET: SoFar = { attempts: 1, costNanoUsd: 0, hasShown: false, remainingMs: 1_000 };

interface Case {
  readonly code: ErrorCode;
  readonly policy?: Partial<RoutePolicy>;
  readonly soFar?: Partial<SoFar>;
  readonly retries?: typeof FULL;
  readonly step: NextStep;
  readonly why: string;
}

describe('after a failed attempt', () => {
  test.each<Case>([
    { code: 'upstream_failed', step: 'elsewhere', why: 'another provider may do better' },
    { code: 'upstream_throttled', step: 'elsewhere', why: 'another provider has room' },
    { code: 'upstream_rejected', step: 'give_up', why: 'the request itself is wrong' },
    { code: 'stream_gap', step: 'give_up', why: 'the gateway’s own trouble' },
    { code: 'context_length_exceeded', step: 'elsewhere', why: 'another model may take more' },
    { code: 'content_filtered', step: 'give_up', why: 'the route says nothing of it' },
    {
      ...{ code: 'content_filtered', policy: { onContentFilter: 'fallback' } },
      ...{ step: 'elsewhere', why: 'the route says so' },
    },
    {
      ...{ code: 'content_filtered', policy: { onContentFilter: 'fallback', onStreamBreak: 'continue' } },
      ...{ soFar: { hasShown: true }, step: 'give_up', why: 'its text is with the client already' },
    },
    { code: 'upstream_failed', soFar: { attempts: 8 }, step: 'give_up', why: 'eight are enough' },
    {
      ...{ code: 'upstream_failed', policy: { maxAttempts: 2 }, soFar: { attempts: 2 } },
      ...{ step: 'give_up', why: 'the route allows fewer' },
    },
    {
      ...{ code: 'upstream_failed', policy: { maxCostNanoUsd: 10 }, soFar: { costNanoUsd: 10 } },
      ...{ step: 'give_up', why: 'the money is spent' },
    },
    {
      ...{ code: 'upstream_failed', policy: { maxCostNanoUsd: 10 }, soFar: { costNanoUsd: 9 } },
      ...{ step: 'elsewhere', why: 'there is money left' },
    },
    { code: 'upstream_failed', soFar: { remainingMs: 0 }, step: 'give_up', why: 'the deadline is here' },
    { code: 'upstream_cut_off', soFar: { hasShown: true }, step: 'give_up', why: 'the client has a part of it' },
    {
      ...{ code: 'upstream_cut_off', soFar: { hasShown: true }, policy: { onStreamBreak: 'continue' } },
      ...{ step: 'elsewhere', why: 'another may go on with it' },
    },
    { code: 'upstream_failed', retries: EMPTY, step: 'over_budget', why: 'the budget is used up' },
    { code: 'upstream_rejected', retries: EMPTY, step: 'give_up', why: 'no budget would help' },
    { code: 'worker_busy', retries: EMPTY, step: 'elsewhere', why: 'no provider was asked' },
    { code: 'worker_lost', retries: EMPTY, step: 'elsewhere', why: 'it is no provider’s fault' },
    { code: 'upstream_unreachable', retries: EMPTY, step: 'elsewhere', why: 'no provider bore a load' },
    { code: 'deployment_throttled', retries: EMPTY, step: 'elsewhere', why: 'our own limit held it back' },
    { code: 'deployment_disabled', retries: EMPTY, step: 'elsewhere', why: 'an operator took it out' },
  ])('$code -> $step: $why', ({ code, policy, soFar, retries = FULL, step }) => {
    expect(nextStep(code, { ...DEFAULT_POLICY, ...policy }, { ...NOTHING_YET, ...soFar }, retries, 0)).toBe(step);
  });
});

describe('when nobody is left to ask', () => {
  const rest = (code: ErrorCode, fields: { rounds?: number; remainingMs?: number; retryAfterMs?: number } = {}) =>
    restBeforeRound(
      { code, retryAfterMs: fields.retryAfterMs },
      { rounds: fields.rounds ?? 0, remainingMs: fields.remainingMs ?? 10_000 },
      () => 0.5,
    );

  test('what may pass is tried twice more, later each time', () => {
    expect([0, 1, 2].map((rounds) => rest('upstream_failed', { rounds }))).toEqual([50, 100, undefined]);
  });

  test.each<ErrorCode>(['upstream_unauthorized', 'upstream_malformed', 'context_length_exceeded', 'content_filtered'])(
    '%s lasts',
    (code) => expect(rest(code)).toBeUndefined(),
  );

  test('a provider that says when is given that long, up to two seconds', () => {
    expect(rest('upstream_throttled', { retryAfterMs: 1_000 })).toBe(1_000);
    expect(rest('upstream_throttled', { retryAfterMs: 2_001 })).toBeUndefined();
  });

  test('nobody waits past the deadline', () => {
    expect(rest('upstream_failed', { remainingMs: 50 })).toBeUndefined();
    expect(rest('upstream_failed', { remainingMs: 51 })).toBe(50);
  });
});
