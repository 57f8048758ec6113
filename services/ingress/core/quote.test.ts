import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Deployment } from '../../../shared/catalog.ts';
import type { TokenBounds } from '../../../shared/dialects/openai-needs.ts';
import { costOf } from '../../../shared/pricing.ts';
import { deploymentOf } from '../../../shared/testing/fixtures.ts';
import { costSeenOf, outputBoundOf, quoteOf } from './quote.ts';

const rate = fc.nat({ max: 1e12 });
const tier = fc.record({ input: rate, output: rate, cachedInput: rate, aboveInputTokens: fc.nat({ max: 2_000 }) });
const price = fc.record(
  { input: rate, output: rate, cachedInput: rate, reasoningOutput: rate, tiers: fc.array(tier, { maxLength: 3 }) },
  { requiredKeys: ['input', 'output'] },
);
const deployment = fc
  .record({
    price: fc.option(price, { nil: undefined }),
    contextTokens: fc.option(fc.integer({ min: 1, max: 4_000 }), { nil: undefined }),
    maxOutputTokens: fc.option(fc.integer({ min: 1, max: 4_000 }), { nil: undefined }),
  })
  .map(({ price: known, ...fields }) => {
    const tiers = known?.tiers?.toSorted((a, b) => a.aboveInputTokens - b.aboveInputTokens);
    return deploymentOf('p/m', {
      ...fields,
      price: known === undefined ? undefined : { ...known, ...(tiers === undefined ? {} : { tiers }) },
    });
  });
const bounds = fc.record({
  inputTokens: fc.nat({ max: 3_000 }),
  isOpenEnded: fc.boolean(),
  outputTokens: fc.option(fc.integer({ min: 1, max: 5_000 }), { nil: undefined }),
  choices: fc.integer({ min: 1, max: 4 }),
});

/** Any usage that a deployment may report for a request of these bounds. */
function usageOf(to: Deployment, within: TokenBounds, share: readonly number[]): Parameters<typeof costOf>[0] {
  const [a = 0, b = 0, c = 0, d = 0] = share;
  const most = within.isOpenEnded ? Math.max(within.inputTokens, to.contextTokens ?? 10_000) : within.inputTokens;
  const outputs = (outputBoundOf(to, { endpoint: 'chat', bounds: within }) ?? 0) * (within.choices ?? 1);
  const [inputTokens, outputTokens] = [Math.floor(most * a), Math.floor(outputs * b)];
  return {
    ...{ inputTokens, outputTokens },
    ...{ cachedInputTokens: Math.floor(inputTokens * c), reasoningTokens: Math.floor(outputTokens * d) },
  };
}

describe('a quote', () => {
  test('is never below what any candidate may charge', () => {
    const share = fc.array(fc.constantFrom(0, 0.1, 0.5, 0.999, 1), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(deployment, { minLength: 1, maxLength: 4 }), bounds, share, (candidates, within, shares) => {
        const quote = quoteOf(candidates, { endpoint: 'chat', bounds: within });
        for (const candidate of candidates) {
          const actual = costOf(usageOf(candidate, within, shares), candidate.price);
          if (actual !== undefined) expect(actual).toBeLessThanOrEqual(quote?.nanoUsd ?? -1);
        }
        expect(quote === undefined).toBe(candidates.every((candidate) => candidate.price === undefined));
        if (quote !== undefined)
          expect(quote.hasUnpriced).toBe(candidates.some((candidate) => candidate.price === undefined));
      }),
    );
  });

  test('is exactly what all the tokens cost, where there is one price', () => {
    const dear = deploymentOf('p/m', { price: { input: 1e9, output: 2e9 } });
    const within = { inputTokens: 100, isOpenEnded: false, outputTokens: 10, choices: 3 };
    expect(quoteOf([dear], { endpoint: 'chat', bounds: within })).toEqual({
      ...{ nanoUsd: 160_000, inputNanoUsd: 100_000, outputRate: 2e9, hasUnpriced: false },
    });
  });

  test('of embeddings has no output', () => {
    const dear = deploymentOf('p/m', { price: { input: 1e9, output: 2e9 } });
    const within = { inputTokens: 100, isOpenEnded: false, outputTokens: 0, choices: 1 };
    expect(quoteOf([dear], { endpoint: 'embeddings', bounds: within })?.nanoUsd).toBe(100_000);
    expect(outputBoundOf(dear, { endpoint: 'embeddings', bounds: within })).toBeUndefined();
  });
});

test.each([
  { said: undefined, most: undefined, bound: 4_096, why: 'nobody says' },
  { said: undefined, most: 16_384, bound: 16_384, why: 'the model’s own' },
  { said: 100, most: 16_384, bound: 100, why: 'the request’s own' },
  { said: 100_000, most: 16_384, bound: 16_384, why: 'more than the model makes' },
  { said: 100_000, most: undefined, bound: 100_000, why: 'the request’s own' },
])('output is bounded by $bound: $why', ({ said, most, bound }) => {
  const within = { inputTokens: 1, isOpenEnded: false, outputTokens: said, choices: 1 };
  expect(outputBoundOf({ maxOutputTokens: most }, { endpoint: 'chat', bounds: within })).toBe(bound);
});

test('of an answer that was cut off the unseen rest is counted generously, and never beyond the quote', () => {
  const quote = { nanoUsd: 1_000, inputNanoUsd: 100, outputRate: 1_000_000, hasUnpriced: false };
  expect(costSeenOf(quote, 0)).toBe(164);
  expect(costSeenOf(quote, 10)).toBe(184);
  expect(costSeenOf(quote, 10_000)).toBe(1_000);
});
