import { describe, expect, test } from 'vitest';
import { UsageRecorded } from '../../../shared/messages/usage.ts';
import { deploymentOf, taskHeadOf } from '../../../shared/testing/fixtures.ts';
import { estimateInputTokens } from '../../../shared/tokens.ts';
import { endOf, usageEvent } from './account.ts';

const task = taskHeadOf({
  ...{ attempt: 2, route: 'cheap', principal: { keyId: 'k', keyName: 'name', team: null }, model: 'cheap' },
  ...{ stream: true, bodyBytes: 401, queueMs: 1.6 },
});
// Two dollars for a million tokens of output, one for the input.
const deployment = deploymentOf('p/m', { upstreamModel: 'm-1', price: { input: 1e9, output: 2e9 } });
const usage = { inputTokens: 10, outputTokens: 20, cachedInputTokens: 0, reasoningTokens: 0 };
const accountOfAttempt = {
  ...{ startedEpochMs: 0, durationMs: 12.4, ttftMs: 3.5, usage, hasBegun: true, outputTokensSoFar: 7, finish: 'stop' },
};

describe('what an attempt used', () => {
  test('is what the provider counted', () => {
    const end = { finish: 'stop', usage, isEstimated: false, costNanoUsd: 50_000, ttftMs: 4, durationMs: 12 };
    expect(endOf(task, deployment, accountOfAttempt)).toEqual(end);
  });

  test('is estimated where the provider told nothing: a token for four bytes, and those that went by', () => {
    const end = endOf(task, deployment, { ...accountOfAttempt, usage: undefined });
    expect(end).toMatchObject({
      isEstimated: true,
      usage: { inputTokens: 101, outputTokens: 7 },
      costNanoUsd: 115_000,
    });
    expect(estimateInputTokens({ ...task, bodyBytes: 0 })).toBe(0);
  });

  test('is nothing where the provider never began', () => {
    const end = endOf(task, deployment, {
      ...accountOfAttempt,
      usage: undefined,
      hasBegun: false,
      outputTokensSoFar: 0,
      ttftMs: null,
    });
    expect(end).toMatchObject({ isEstimated: true, costNanoUsd: 0, ttftMs: null });
  });

  test('without a price costs null, which is not nothing', () => {
    expect(endOf(task, { ...deployment, price: undefined }, accountOfAttempt).costNanoUsd).toBeNull();
  });
});

test('the ledger’s event keeps its contract, and names the attempt', () => {
  const context = { startedEpochMs: 5, upstreamStatus: 200, error: null, worker: 'w', ingress: 'i' };
  const event = usageEvent(task, deployment, endOf(task, deployment, accountOfAttempt), context);
  expect(UsageRecorded.parse(event)).toMatchObject({
    ...{ attemptId: 'req_1.2', requestId: 'req_1', attempt: 2, source: 'worker', model: 'cheap', route: 'cheap' },
    ...{ deployment: 'p/m', provider: 'p', upstreamModel: 'm-1', queueMs: 2, inputTokens: 10, outputTokens: 20 },
    ...{ costNanoUsd: 50_000, traceparent: null, keyId: 'k', keyName: 'name', team: null },
  });
});

test('the event says whom the attempt is charged to, by which reservation, and at which rates', () => {
  const account = {
    ...{ organisation: 'acme', user: 'ada', feature: 'search', session: 's-1', tags: { project: 'apollo' } },
    ...{ admittedEpochMs: 4, reservedNanoUsd: 60_000, leases: ['lease-1'] },
  };
  const earlier = [{ deployment: 'a/m', code: 'upstream_failed' }];
  const context = { startedEpochMs: 5, upstreamStatus: 200, error: null, worker: 'w', ingress: 'i' };
  const end = endOf(task, deployment, { ...accountOfAttempt, usage });
  const event = usageEvent({ ...task, account, earlier }, deployment, end, context);
  expect(UsageRecorded.parse(event)).toMatchObject({ ...account, earlier, rates: [1e9, 1e9, 2e9, 2e9] });
});

test('without an account the key says whose it is, and what there is not is left out', () => {
  const principal = { ...task.principal, organisation: 'acme', user: null };
  const context = { startedEpochMs: 5, upstreamStatus: 200, error: null, worker: 'w', ingress: 'i' };
  const end = endOf(task, deployment, { ...accountOfAttempt, usage });
  const event = usageEvent({ ...task, principal }, { ...deployment, price: undefined }, end, context);
  expect(event).toMatchObject({ organisation: 'acme' });
  for (const absent of ['user', 'feature', 'tags', 'admittedEpochMs', 'leases', 'earlier', 'rates'])
    expect(event).not.toHaveProperty(absent);
});
