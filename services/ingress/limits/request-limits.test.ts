import { expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { LimitAsk } from '../core/limit-terms.ts';
import { limitOf } from '../core/limit-terms.ts';
import { openLimits } from './limits.ts';
import type { TakenLimits } from './request-limits.ts';
import { RequestLimits } from './request-limits.ts';

const terms = { requestsPerMinute: 2, tokensPerMinute: 1_000, concurrent: 1 };
const ask = (requestId: string, tokens = 100): LimitAsk => ({
  limits: [limitOf('team:search', 'team:search', terms)],
  ...{ tokens, costNanoUsd: 0, requestId },
});

const open = (): RequestLimits => {
  const { limits } = openLimits({ redis: undefined, log: createLog('silent', 'test'), onDegraded: () => undefined });
  return new RequestLimits(limits, { now: () => 0, epochMs: () => 0 });
};

/** Without Redis nobody waits. */
const take = (limits: RequestLimits, asked: LimitAsk): TakenLimits => {
  const taken = limits.take(asked, 0);
  if (taken instanceof Promise) throw new Error('a promise');
  return taken;
};

test('what was taken has headers, and counts until it is over, as what it used', () => {
  const limits = open();
  const first = take(limits, ask('req_1', 900));
  expect(first.headers).toMatchObject({
    'x-ratelimit-remaining-requests': '1',
    'x-ratelimit-remaining-tokens': '100',
  });
  expect(() => take(limits, ask('req_2'))).toThrow('team:search: 1 concurrent requests');
  first.over({ tokens: 300, costNanoUsd: 0 });
  expect(take(limits, ask('req_3', 100)).headers).toMatchObject({
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-remaining-tokens': '600',
  });
});

test('what is given back was never taken', () => {
  const limits = open();
  take(limits, ask('req_1', 900)).giveBack();
  expect(take(limits, ask('req_2', 0)).headers).toMatchObject({
    'x-ratelimit-remaining-requests': '1',
    'x-ratelimit-remaining-tokens': '1000',
  });
});

test('a refusal is an error of its code', () => {
  const limits = open();
  for (const id of ['req_1', 'req_2']) take(limits, ask(id)).over({ tokens: 100, costNanoUsd: 0 });
  let failure: unknown;
  try {
    take(limits, ask('req_3'));
  } catch (thrown) {
    failure = thrown;
  }
  expect(failure).toBeInstanceOf(GatewayError);
  expect(failure).toMatchObject({
    code: 'rate_limit_exceeded',
    headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '800' },
  });
});

test('without limits nothing is taken, and there is nothing to tell', () => {
  const limits = open();
  const taken = take(limits, { ...ask('req_1'), limits: [] });
  expect(taken.headers).toEqual({});
  taken.over({ tokens: 1, costNanoUsd: 1 });
});
