import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRateLimits } from './read-rate-limits.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

describe('each provider’s own form', () => {
  test.each([
    {
      provider: 'OpenAI',
      headers: {
        'x-ratelimit-limit-requests': '10000',
        'x-ratelimit-remaining-requests': '9999',
        'x-ratelimit-reset-requests': '6ms',
        'x-ratelimit-limit-tokens': '2000000',
        'x-ratelimit-remaining-tokens': '1999000',
        'x-ratelimit-reset-tokens': '6m0s',
      },
      limits: {
        requests: { limit: 10_000, remaining: 9_999, resetMs: 6 },
        tokens: { limit: 2_000_000, remaining: 1_999_000, resetMs: 360_000 },
      },
    },
    {
      provider: 'Azure, which leaves out the rest',
      headers: { 'x-ratelimit-remaining-requests': '12', 'x-ratelimit-remaining-tokens': '119984' },
      limits: { requests: { remaining: 12 }, tokens: { remaining: 119_984 } },
    },
    {
      provider: 'Groq',
      headers: {
        'x-ratelimit-limit-requests': '14400',
        'x-ratelimit-remaining-requests': '14370',
        'x-ratelimit-reset-requests': '2m59.56s',
        'x-ratelimit-limit-tokens': '18000',
        'x-ratelimit-remaining-tokens': '17997',
        'x-ratelimit-reset-tokens': '7.66s',
      },
      limits: {
        requests: { limit: 14_400, remaining: 14_370, resetMs: 179_560 },
        tokens: { limit: 18_000, remaining: 17_997, resetMs: 7_660 },
      },
    },
    {
      provider: 'Anthropic, where output tokens are the tightest',
      headers: {
        'anthropic-ratelimit-requests-limit': '50',
        'anthropic-ratelimit-requests-remaining': '49',
        'anthropic-ratelimit-requests-reset': '2026-01-02T03:04:06Z',
        'anthropic-ratelimit-tokens-limit': '48000',
        'anthropic-ratelimit-tokens-remaining': '40000',
        'anthropic-ratelimit-tokens-reset': '2026-01-02T03:04:15Z',
        'anthropic-ratelimit-input-tokens-limit': '40000',
        'anthropic-ratelimit-input-tokens-remaining': '39000',
        'anthropic-ratelimit-input-tokens-reset': '2026-01-02T03:04:07Z',
        'anthropic-ratelimit-output-tokens-limit': '8000',
        'anthropic-ratelimit-output-tokens-remaining': '1000',
        'anthropic-ratelimit-output-tokens-reset': '2026-01-02T04:04:57.500+01:00',
      },
      limits: {
        requests: { limit: 50, remaining: 49, resetMs: 1_000 },
        tokens: { limit: 8_000, remaining: 1_000, resetMs: 52_500 },
      },
    },
    {
      provider: 'the IETF draft with its window',
      headers: { 'ratelimit-limit': '100, 100;w=10', 'ratelimit-remaining': '50', 'ratelimit-reset': '5' },
      limits: { requests: { limit: 600, remaining: 50, resetMs: 5_000 } },
    },
    {
      provider: 'the IETF draft, whose limit is no rate without its window',
      headers: { 'ratelimit-limit': '100', 'ratelimit-remaining': '50', 'ratelimit-reset': '5' },
      limits: { requests: { remaining: 50, resetMs: 5_000 } },
    },
  ])('$provider', ({ headers, limits }) => {
    expect(readRateLimits(headers, NOW)).toEqual(limits);
  });

  test('of the same kind in two forms, the one with less remaining', () => {
    const headers = { 'ratelimit-remaining': '3', 'ratelimit-reset': '9', 'x-ratelimit-remaining-requests': '5' };
    expect(readRateLimits(headers, NOW)).toEqual({ requests: { remaining: 3, resetMs: 9_000 } });
    expect(readRateLimits({ ...headers, 'x-ratelimit-remaining-requests': '2' }, NOW)).toEqual({
      requests: { remaining: 2 },
    });
  });
});

describe('how long until the reset', () => {
  test.each([
    { text: '1s', ms: 1_000 },
    { text: '20ms', ms: 20 },
    { text: '6m0s', ms: 360_000 },
    { text: '1h2m3.5s', ms: 3_723_500 },
    { text: '850µs', ms: 0.85 },
    { text: '0s', ms: 0 },
    { text: '12', ms: 12_000 },
    { text: ' 1.5 ', ms: 1_500 },
    { text: '24h', ms: 86_400_000 },
    { text: '25h', ms: undefined },
    { text: '1767323045', ms: undefined },
    { text: '-1s', ms: undefined },
    { text: '5 s', ms: undefined },
    { text: 's', ms: undefined },
    { text: '1d', ms: undefined },
    { text: '1s!', ms: undefined },
    { text: '', ms: undefined },
    { text: '2026-01-02T03:04:06Z', ms: undefined },
  ])('"$text" is $ms ms', ({ text, ms }) => {
    const headers = { 'x-ratelimit-remaining-tokens': '1', 'x-ratelimit-reset-tokens': text };
    expect(readRateLimits(headers, NOW).tokens?.resetMs).toBe(ms);
  });

  test.each([
    { text: '2026-01-02T03:04:05.250Z', ms: 250 },
    { text: '2026-01-02T03:04:00Z', ms: 0 },
    { text: '2026-01-05T03:04:05Z', ms: undefined },
    { text: '2026-13-02T03:04:05Z', ms: undefined },
    { text: '2026-01-02', ms: undefined },
    { text: '5', ms: undefined },
  ])('Anthropic’s "$text" is $ms ms', ({ text, ms }) => {
    const headers = { 'anthropic-ratelimit-tokens-remaining': '1', 'anthropic-ratelimit-tokens-reset': text };
    expect(readRateLimits(headers, NOW).tokens?.resetMs).toBe(ms);
  });
});

describe('what makes no sense', () => {
  test.each(['', '-1', '1e3', '0x10', 'many', '1.5', '9'.repeat(30), ['1', '2']])('%j is not what remains', (text) => {
    expect(readRateLimits({ 'x-ratelimit-remaining-requests': text }, NOW)).toEqual({});
  });

  test.each(['100;w=0', '100;w=', '100, 7;w=60', ';w=60', '100;window=60'])('%j is no rate', (text) => {
    expect(
      readRateLimits({ 'ratelimit-limit': text, 'ratelimit-remaining': '1' }, NOW).requests?.limit,
    ).toBeUndefined();
  });

  test('no header, no limits', () => {
    expect(readRateLimits({ 'content-type': 'application/json', date: 'today' }, NOW)).toEqual({});
  });

  test('whatever the text, what is read is a number of its kind', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9hmsunw.,;=µ -]{0,12}$/));
    fc.assert(
      fc.property(text, text, text, fc.constantFrom('x-a', 'an', 'ie'), (limit, remaining, reset, form) => {
        const headers =
          form === 'x-a'
            ? {
                'x-ratelimit-limit-tokens': limit,
                'x-ratelimit-remaining-tokens': remaining,
                'x-ratelimit-reset-tokens': reset,
              }
            : form === 'an'
              ? {
                  'anthropic-ratelimit-tokens-limit': limit,
                  'anthropic-ratelimit-tokens-remaining': remaining,
                  'anthropic-ratelimit-tokens-reset': reset,
                }
              : { 'ratelimit-limit': limit, 'ratelimit-remaining': remaining, 'ratelimit-reset': reset };
        for (const told of Object.values(readRateLimits(headers, NOW)))
          for (const value of Object.values(told as Record<string, number>)) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThan(Infinity);
          }
      }),
    );
  });
});
