import { describe, expect, test } from 'vitest';
import { toOpenAiError } from '../../../shared/dialects/openai-error.ts';
import { formatReset, rateLimitHeaders, refusalError } from './limit-headers.ts';
import type { Refused } from './limit-terms.ts';
import { limitOf } from './limit-terms.ts';

test.each([
  { ms: 0, text: '0s' },
  { ms: 19.2, text: '20ms' },
  { ms: 999.5, text: '1s' },
  { ms: 1_500, text: '1.5s' },
  { ms: 60_000, text: '1m0s' },
  { ms: 360_000, text: '6m0s' },
  { ms: 61_020, text: '1m1.02s' },
  { ms: 3_630_000, text: '1h0m30s' },
])('$ms ms are written $text', ({ ms, text }) => {
  expect(formatReset(ms)).toBe(text);
});

describe('headers', () => {
  test('tell what there is a limit of', () => {
    expect(
      rateLimitHeaders({
        requests: { perMinute: 60, remaining: 59, resetMs: 1_000 },
        tokens: { perMinute: 150_000, remaining: 149_984, resetMs: 6.4 },
      }),
    ).toEqual({
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '59',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-limit-tokens': '150000',
      'x-ratelimit-remaining-tokens': '149984',
      'x-ratelimit-reset-tokens': '7ms',
    });
  });

  test('are none without limits, and one object for all', () => {
    const none = { requests: undefined, tokens: undefined };
    expect(rateLimitHeaders(none)).toEqual({});
    expect(rateLimitHeaders(none)).toBe(rateLimitHeaders({ ...none }));
  });
});

describe('a refusal', () => {
  const terms = {
    requestsPerMinute: 60,
    tokensPerMinute: 1_000,
    cost: { nanoUsd: 5_000_000_000, perMs: 3_600_000 },
    concurrent: 4,
  };
  const refused = (fields: Partial<Refused>): Refused => ({
    kind: 'refused',
    limit: limitOf('user:*', 'user:ada', terms),
    dimension: 'requests',
    waitMs: 1_200.2,
    standing: { requests: { perMinute: 60, remaining: 0, resetMs: 60_000 }, tokens: undefined },
    ...fields,
  });

  test.each([
    { dimension: 'requests' as const, said: '60 requests per minute' },
    { dimension: 'tokens' as const, said: '1000 tokens per minute' },
    { dimension: 'cost' as const, said: '$5.00 per 1h' },
    { dimension: 'concurrent' as const, said: '4 concurrent requests' },
  ])('names whose limit and of what: $dimension', ({ dimension, said }) => {
    const { message } = refusalError(refused({ dimension }));
    expect(message).toBe(`Rate limit reached for user:ada: ${said}. Please try again in 1.201s.`);
  });

  test('says when to come back, and how the limit stands, in headers', () => {
    const { status, headers } = toOpenAiError(refusalError(refused({})));
    expect(status).toBe(429);
    expect(headers).toEqual({
      'x-should-retry': 'true',
      'retry-after': '2',
      'retry-after-ms': '1201',
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1m0s',
    });
  });
});
