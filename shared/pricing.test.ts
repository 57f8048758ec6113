import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_RATE, MAX_TOKENS, PriceTable, costOf, loadPriceTable } from './pricing.ts';
import type { CountedTokens, ModelInfo, Price } from './pricing.ts';

const NONE: CountedTokens = { inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };

/** Slow and obvious: one BigInt sum of millionths of a nano-dollar, rounded half up at the end. */
function modelCost(usage: CountedTokens, price: Price): number {
  const min = (a: number, b: number) => BigInt(a < b ? a : b);
  const input = BigInt(usage.inputTokens);
  const output = BigInt(usage.outputTokens);
  const cached = min(usage.cachedInputTokens, usage.inputTokens);
  const reasoning = min(usage.reasoningTokens, usage.outputTokens);
  const tier = price.tiers?.filter(({ aboveInputTokens }) => usage.inputTokens > aboveInputTokens).at(-1);
  const rates = tier ?? { ...price, output: price.output };
  const reasoningRate = tier === undefined ? (price.reasoningOutput ?? price.output) : tier.output;
  const millionths =
    (input - cached) * BigInt(rates.input) +
    cached * BigInt(rates.cachedInput ?? rates.input) +
    (output - reasoning) * BigInt(rates.output) +
    reasoning * BigInt(reasoningRate);
  return Number((millionths + 500_000n) / 1_000_000n);
}

describe('costOf', () => {
  const gpt: Price = { input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000 };

  test.each([
    { usage: { inputTokens: 1_000_000 }, price: gpt, cost: 150_000_000, why: 'a million input tokens' },
    { usage: { outputTokens: 1 }, price: gpt, cost: 600, why: 'one output token' },
    { usage: { inputTokens: 100, cachedInputTokens: 60 }, price: gpt, cost: 40 * 150 + 60 * 75, why: 'cached is part' },
    {
      usage: { inputTokens: 100, cachedInputTokens: 60 },
      price: { input: 1_000_000, output: 0 },
      cost: 100,
      why: 'no cached rate: the input rate',
    },
    { usage: { outputTokens: 10, reasoningTokens: 8 }, price: gpt, cost: 6_000, why: 'reasoning is part of output' },
    {
      usage: { outputTokens: 10, reasoningTokens: 8 },
      price: { ...gpt, reasoningOutput: 1_000_000_000 },
      cost: 2 * 600 + 8 * 1_000,
      why: 'reasoning at its own rate',
    },
    { usage: { inputTokens: 5, cachedInputTokens: 9 }, price: gpt, cost: 5 * 75, why: 'cached never exceeds input' },
    { usage: { inputTokens: 1 }, price: { input: 499_999, output: 0 }, cost: 0, why: 'below a half, down' },
    { usage: { inputTokens: 1 }, price: { input: 500_000, output: 0 }, cost: 1, why: 'a half, up' },
    {
      usage: { inputTokens: 1, outputTokens: 1 },
      price: { input: 250_000, output: 250_000 },
      cost: 1,
      why: 'rounded once, not per kind of token',
    },
    { usage: {}, price: gpt, cost: 0, why: 'no tokens' },
  ])('$cost nano-dollars: $why', ({ usage, price, cost }) => {
    expect(costOf({ ...NONE, ...usage }, price)).toBe(cost);
  });

  test('a long input moves the whole request to the rates of its tier', () => {
    const price: Price = {
      input: 1_000_000,
      output: 2_000_000,
      cachedInput: 100_000,
      tiers: [
        { aboveInputTokens: 100, input: 3_000_000, output: 4_000_000 },
        { aboveInputTokens: 200, input: 5_000_000, output: 6_000_000, cachedInput: 1_000_000 },
      ],
    };
    expect(costOf({ ...NONE, inputTokens: 100, outputTokens: 10 }, price)).toBe(120);
    expect(costOf({ ...NONE, inputTokens: 101, outputTokens: 10, cachedInputTokens: 1 }, price)).toBe(343);
    expect(costOf({ ...NONE, inputTokens: 201, outputTokens: 10, cachedInputTokens: 1 }, price)).toBe(1_061);
  });

  test('an unknown price is unknown, not free', () => {
    expect(costOf({ ...NONE, inputTokens: 10 }, undefined)).toBeUndefined();
  });

  test.each([-1, 0.5, Number.NaN, MAX_TOKENS + 1])('%d tokens are refused', (inputTokens) => {
    expect(() => costOf({ ...NONE, inputTokens }, gpt)).toThrow(RangeError);
  });

  const tokens = fc.oneof(fc.nat(2_000), fc.nat(MAX_TOKENS), fc.constant(MAX_TOKENS));
  const rate = fc.oneof(
    fc.integer({ min: 0, max: 2_000_000 }),
    fc.maxSafeNat().map((n) => n % (MAX_RATE + 1)),
    fc.constant(MAX_RATE),
  );
  const usage = fc.record({
    inputTokens: tokens,
    outputTokens: tokens,
    cachedInputTokens: tokens,
    reasoningTokens: tokens,
  });
  const tier = fc.record(
    { aboveInputTokens: tokens, input: rate, output: rate, cachedInput: rate },
    { requiredKeys: ['aboveInputTokens', 'input', 'output'] },
  );
  const price = fc.record(
    {
      input: rate,
      output: rate,
      cachedInput: rate,
      reasoningOutput: rate,
      tiers: fc
        .array(tier, { maxLength: 2 })
        .map((tiers) => tiers.toSorted((a, b) => a.aboveInputTokens - b.aboveInputTokens)),
    },
    { requiredKeys: ['input', 'output'] },
  );

  test('equals the BigInt model up to the bounds', () => {
    fc.assert(
      fc.property(usage, price, (used, at) => {
        const cost = costOf(used, at);
        expect(cost).toBe(modelCost(used, at));
        expect(Number.isSafeInteger(cost)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('PriceTable', () => {
  const model = (name: string, input: number): ModelInfo => ({
    provider: 'acme',
    name,
    mode: 'chat',
    price: { input, output: 1 },
    capabilities: [],
  });
  const table = new PriceTable([model('big', 1), model('big-2024-07-18', 2), model('o-2025', 3)]);

  test.each([
    { name: 'big', input: 1, why: 'exact' },
    { name: 'big-2024-07-18', input: 2, why: 'a listed snapshot has its own price' },
    { name: 'big-2025-01-31', input: 1, why: 'a snapshot that is not listed' },
    { name: 'big-20250131', input: 1, why: 'the other way to write a date' },
    { name: 'big-2025-13-31', input: undefined, why: 'not a date' },
    { name: 'big-0613', input: undefined, why: 'month and day alone may be another model' },
    { name: 'bigger', input: undefined, why: 'another model' },
    { name: 'Big', input: undefined, why: 'names are case-sensitive' },
    { name: 'o', input: undefined, why: 'the search never goes from a model to a snapshot' },
    { name: '', input: undefined, why: 'no name' },
  ])('$name -> $input ($why)', ({ name, input }) => {
    expect(table.lookup('acme', name)?.input).toBe(input);
  });

  test('nothing is known of a provider that is not listed', () => {
    expect(table.lookup('other', 'big')).toBeUndefined();
    expect(table.listModels('other')).toEqual([]);
  });
});

describe('the shipped table', () => {
  const table = loadPriceTable();
  const models = table.providers().flatMap((provider) => table.listModels(provider));

  test('has the prices everybody knows', () => {
    expect(table.lookup('openai', 'gpt-4o-mini')).toEqual({
      input: 150_000_000,
      output: 600_000_000,
      cachedInput: 75_000_000,
    });
    expect(table.find('openai', 'text-embedding-3-small')).toMatchObject({
      mode: 'embedding',
      price: { input: 20_000_000, output: 0 },
    });
  });

  test('is read once', () => {
    expect(loadPriceTable()).toBe(table);
  });

  test('every rate is an integer within bounds, and no name is listed twice', () => {
    const isRate = (rate: number) => Number.isInteger(rate) && rate >= 0 && rate <= MAX_RATE;
    const ratesOf = ({ tiers = [], ...rates }: Price): number[] => [
      ...Object.values(rates),
      ...tiers.flatMap((tier) => Object.values<number>({ ...tier })),
    ];
    const wrong = models.filter(({ price }) => !ratesOf(price).every(isRate));
    expect(wrong).toEqual([]);
    expect(new Set(models.map(({ provider, name }) => `${provider}/${name}`)).size).toBe(models.length);
  });

  test('no model has both tiers and a reasoning rate, which costOf relies on', () => {
    expect(models.filter(({ price }) => price.tiers && price.reasoningOutput)).toEqual([]);
  });
});
