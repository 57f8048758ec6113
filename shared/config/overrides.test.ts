import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GatewayError } from '../errors.ts';
import { parseOverrides } from './overrides.ts';
import { NO_HEDGE, OVERRIDE_NAMES } from './types.ts';

const nothing = { overrides: {}, timeoutMs: undefined, lane: undefined, named: [] };

function refusalOf(value: unknown): { param: string | undefined; message: string } {
  try {
    parseOverrides(value);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(error.code).toBe('invalid_request');
    return { param: error.param, message: error.message };
  }
  throw new Error('it was accepted');
}

test('everything that may be said', () => {
  const read = parseOverrides({
    strategy: 'cheapest',
    regions: ['eu', 'us'],
    timeout: '30s',
    on_limit: { queue: '2s', then: { downgrade: 'cheap' } },
    on_stream_break: 'continue',
    on_content_filter: 'fallback',
    hedge: { after: '800ms' },
    max_attempts: 3,
    max_cost: '0.05 USD',
    fallbacks: ['openai/gpt-4o', 'llama'],
    lane: 'batch',
  });
  expect(read).toEqual({
    overrides: {
      strategy: 'cheapest',
      regions: ['eu', 'us'],
      onLimit: { kind: 'queue', forMs: 2_000, then: { kind: 'downgrade', to: 'cheap' } },
      onStreamBreak: 'continue',
      onContentFilter: 'fallback',
      hedge: { afterMs: 800, share: 0.05 },
      maxAttempts: 3,
      maxCostNanoUsd: 50_000_000,
      fallbacks: ['openai/gpt-4o', 'llama'],
    },
    timeoutMs: 30_000,
    lane: 'batch',
    named: [...OVERRIDE_NAMES],
  });
});

describe('nothing is said by', () => {
  test.each([{}, { strategy: '' }, { regions: null, hedge: undefined }])('%j', (value) => {
    expect(parseOverrides(value)).toEqual(nothing);
  });
});

describe('the text of a header', () => {
  const reject = { kind: 'reject' };

  test.each([
    { said: { regions: 'eu, us' }, is: { regions: ['eu', 'us'] } },
    { said: { fallbacks: 'gpt-4o/openai,a/b' }, is: { fallbacks: ['gpt-4o/openai', 'a/b'] } },
    { said: { strategy: ' ordered ' }, is: { strategy: 'ordered' } },
    { said: { max_attempts: '3' }, is: { maxAttempts: 3 } },
    { said: { max_cost: ' 1 USD' }, is: { maxCostNanoUsd: 1_000_000_000 } },
    { said: { on_limit: 'reject' }, is: { onLimit: reject } },
    { said: { on_limit: 'queue' }, is: { onLimit: { kind: 'queue', forMs: undefined, then: reject } } },
    { said: { on_limit: 'queue:20s' }, is: { onLimit: { kind: 'queue', forMs: 20_000, then: reject } } },
    { said: { on_limit: 'downgrade: cheap' }, is: { onLimit: { kind: 'downgrade', to: 'cheap' } } },
    { said: { hedge: 'off' }, is: { hedge: NO_HEDGE } },
    { said: { hedge: 'p95' }, is: { hedge: { afterMs: 'p95', share: 0.05 } } },
    { said: { hedge: '2s' }, is: { hedge: { afterMs: 2_000, share: 0.05 } } },
    { said: { fallbacks: [] }, is: { fallbacks: [] } },
  ])('$said', ({ said, is }) => {
    expect(parseOverrides(said)).toEqual({ ...nothing, overrides: is, named: Object.keys(said) });
  });

  test.each([
    { timeout: '500', timeoutMs: 500 },
    { timeout: 500, timeoutMs: 500 },
    { timeout: '24h', timeoutMs: 86_400_000 },
  ])('a timeout of $timeout', ({ timeout, timeoutMs }) => {
    expect(parseOverrides({ timeout })).toEqual({ ...nothing, timeoutMs, named: ['timeout'] });
  });
});

describe('refused, by its name', () => {
  test.each([
    [null, 'sluice', "'sluice' must be an object."],
    [['strategy'], 'sluice', "'sluice' must be an object."],
    ['ordered', 'sluice', "'sluice' must be an object."],
    [
      { stratgy: 'ordered' },
      'sluice.stratgy',
      "Invalid value for 'sluice.stratgy': unknown key (did you mean `strategy`?).",
    ],
    [{ 'a b': 1 }, 'sluice["a b"]', `Invalid value for 'sluice["a b"]': unknown key.`],
    [
      { strategy: 'orderd' },
      'sluice.strategy',
      "Invalid value for 'sluice.strategy': must be one of peak_ewma, weighted, ordered, cheapest, complexity, sticky (did you mean `ordered`?).",
    ],
    [
      { max_attempts: 9 },
      'sluice.max_attempts',
      "Invalid value for 'sluice.max_attempts': must be an integer from 1 to 8.",
    ],
    [{ timeout: '25h' }, 'sluice.timeout', "Invalid value for 'sluice.timeout': must be from 1ms to 1d."],
    [{ timeout: 0 }, 'sluice.timeout', "Invalid value for 'sluice.timeout': must be from 1ms to 1d."],
    [
      { timeout: 1.5 },
      'sluice.timeout',
      `Invalid value for 'sluice.timeout': "1.5ms" is not a duration, such as 250ms, 30s, 5m, 2h or 7d.`,
    ],
    [{ max_cost: 0.05 }, 'sluice.max_cost', `Invalid value for 'sluice.max_cost': has no currency (write "0.05 USD").`],
    [{ lane: 'slow' }, 'sluice.lane', "Invalid value for 'sluice.lane': must be one of interactive, batch."],
    [{ regions: [] }, 'sluice.regions', "Invalid value for 'sluice.regions': must name at least one region."],
    [
      { regions: 'eu,,us' },
      'sluice.regions',
      "Invalid value for 'sluice.regions[1]': a region must not contain `,` or spaces.",
    ],
    [
      { fallbacks: ['a b'] },
      'sluice.fallbacks',
      "Invalid value for 'sluice.fallbacks[0]': a model name must not contain `,` or spaces.",
    ],
    [{ fallbacks: 'a,'.repeat(20) }, 'sluice.fallbacks', "Invalid value for 'sluice.fallbacks': must name 16 at most."],
    [
      { on_limit: { downgrade: 'openai/gpt-4o' } },
      'sluice.on_limit',
      "Invalid value for 'sluice.on_limit.downgrade': a route name must not contain `/`, `,` or spaces.",
    ],
    [
      { hedge: 'p99' },
      'sluice.hedge',
      "Invalid value for 'sluice.hedge.after': must be p95, or a duration such as 800ms.",
    ],
    [
      { hedge: { after: 'p95', share: 1 } },
      'sluice.hedge',
      "Invalid value for 'sluice.hedge.share': is for routes and routers to say.",
    ],
  ])('%j', (value, param, message) => {
    expect(refusalOf(value)).toEqual({ param, message });
  });

  test.each([
    { what: 'a long list', value: { fallbacks: Array.from({ length: 1e6 }, () => 7) } },
    { what: 'a long text', value: { max_cost: `${'9'.repeat(1e6)} USD` } },
    { what: 'many keys', value: { on_limit: Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [i, i])) } },
    { what: 'many unknown keys', value: Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [`k${i}`, i])) },
    { what: 'a long key', value: { ['k'.repeat(1e6)]: 1 } },
    { what: 'a long key inside', value: { hedge: { ['k'.repeat(1e6)]: 1 } } },
    { what: 'a long name', value: { strategy: 'x'.repeat(8_000) } },
  ])('$what, soon, and in a few words', ({ value }) => {
    const from = performance.now();
    const { message, param } = refusalOf(value);
    expect(performance.now() - from).toBeLessThan(1_000);
    expect(message.length + (param?.length ?? 0)).toBeLessThan(500);
  });
});

test('whatever comes, it is read or refused as the request’s mistake', () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.anything(),
    fc.dictionary(fc.constantFrom(...OVERRIDE_NAMES), fc.oneof(fc.jsonValue(), fc.anything(), fc.string())),
    fc.record(
      {
        strategy: fc.constantFrom('ordered', 'x'),
        timeout: fc.oneof(fc.nat(), fc.double(), fc.string()),
        hedge: fc.oneof(fc.constant('off'), fc.record({ after: fc.anything() })),
        on_limit: fc.record({ queue: fc.anything(), then: fc.anything(), downgrade: fc.anything() }),
        max_cost: fc.oneof(fc.float(), fc.string()),
      },
      { requiredKeys: [] },
    ),
  );
  fc.assert(
    fc.property(value, (input) => {
      try {
        const { named, overrides, timeoutMs, lane } = parseOverrides(input);
        expect(named.length).toBe(
          Object.keys(overrides).length + (timeoutMs === undefined ? 0 : 1) + (lane === undefined ? 0 : 1),
        );
        // It crosses NATS.
        JSON.stringify(overrides);
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError);
        expect(error).toMatchObject({ code: 'invalid_request' });
        expect((error as GatewayError).param).toMatch(/^sluice/);
      }
    }),
    { numRuns: 2_000 },
  );
});
