import { describe, expect, test } from 'vitest';
import { parseSource, rateOf, rowsOf } from './make-price-table.ts';

describe('rateOf', () => {
  test.each([
    { usd: '1e-07', rate: 100_000_000 },
    { usd: '1.25e-06', rate: 1_250_000_000 },
    { usd: '0.000135', rate: 135_000_000_000 },
    { usd: '2.999997e-05', rate: 29_999_970_000 },
    { usd: '0.0', rate: 0 },
    { usd: '0', rate: 0 },
    { usd: '1E-15', rate: 1 },
    { usd: '0.01', rate: 10_000_000_000_000 },
    { usd: '8.900000000000001e-07', rate: 890_000_000 },
    { usd: '9.499999999999999e-07', rate: 950_000_000 },
    { usd: '1.1428571428571428e-06', rate: 1_142_857_143 },
  ])('$usd USD per token is $rate', ({ usd, rate }) => {
    expect(rateOf(usd)).toBe(rate);
  });

  test.each([
    { usd: '1e-16', message: 'is not an integer in nano-dollars per million tokens' },
    { usd: '1.2345678e-09', message: 'is not an integer in nano-dollars per million tokens' },
    { usd: '0.011', message: 'is dearer than MAX_RATE' },
    { usd: '-1e-06', message: 'is not a price' },
  ])('$usd $message', ({ usd, message }) => {
    expect(() => rateOf(usd)).toThrow(message);
  });
});

describe('rowsOf', () => {
  const rowsOfText = (text: string) => rowsOf(parseSource(text));
  const price = '"input_cost_per_token":1e-06,"output_cost_per_token":2e-06';

  test('a full entry', () => {
    const rows = rowsOfText(`{"together_ai/Qwen/Q1":{"provider":"together_ai","mode":"chat",${price},
      "cache_read_input_token_cost":1e-07,"max_input_tokens":128000,"max_output_tokens":4096,
      "supports_vision":true,"supports_function_calling":true,"supports_reasoning":false,
      "cache_creation_input_token_cost":3e-06,"output_cost_per_reasoning_token":5e-06,
      "input_cost_per_token_above_200k_tokens":4e-06,"output_cost_per_token_above_200k_tokens":8e-06}}`);
    expect(rows).toEqual([
      [
        'together',
        'Qwen/Q1',
        'chat',
        1_000_000_000,
        2_000_000_000,
        100_000_000,
        128_000,
        4_096,
        'tools vision',
        {
          reasoningOutput: 5_000_000_000,
          cacheWrite: 3_000_000_000,
          tiers: [[200_000, 4_000_000_000, 8_000_000_000, 100_000_000]],
        },
      ],
    ]);
  });

  test('sorted by provider and name, nulls at the end left out', () => {
    const rows = rowsOfText(`{"b":{"provider":"openai","mode":"chat",${price}},
      "groq/z":{"provider":"groq","mode":"chat",${price}},
      "a":{"provider":"openai","mode":"embedding","input_cost_per_token":1e-06}}`);
    expect(rows).toEqual([
      ['groq', 'z', 'chat', 1_000_000_000, 2_000_000_000],
      ['openai', 'a', 'embedding', 1_000_000_000, 0],
      ['openai', 'b', 'chat', 1_000_000_000, 2_000_000_000],
    ]);
  });

  test.each([
    { why: 'an image model', entry: `"mode":"image_generation",${price}` },
    { why: 'no mode', entry: price },
    { why: 'no price', entry: '"mode":"chat"' },
    { why: 'a price of zero', entry: '"mode":"chat","input_cost_per_token":0.0,"output_cost_per_token":0.0' },
    { why: 'a chat model without an output price', entry: '"mode":"chat","input_cost_per_token":1e-06' },
    { why: 'responses only', entry: `"mode":"responses","supported_endpoints":["/v1/responses"],${price}` },
  ])('leaves out: $why', ({ entry }) => {
    expect(rowsOfText(`{"m":{"provider":"openai",${entry}}}`)).toEqual([]);
  });

  test('keeps a responses model that chat serves', () => {
    const endpoints = '["/v1/responses","/v1/chat/completions"]';
    const rows = rowsOfText(
      `{"m":{"provider":"openai","mode":"responses","supported_endpoints":${endpoints},${price}}}`,
    );
    expect(rows).toEqual([['openai', 'm', 'chat', 1_000_000_000, 2_000_000_000]]);
  });

  test('one model under two keys is one row, unless the prices differ', () => {
    const twice = (other: string) =>
      `{"m":{"provider":"deepseek","mode":"chat",${price}},"deepseek/m":{"provider":"deepseek","mode":"chat",${other}}}`;
    expect(rowsOfText(twice(price))).toHaveLength(1);
    const dearer = '"input_cost_per_token":2e-06,"output_cost_per_token":2e-06';
    expect(() => rowsOfText(twice(dearer))).toThrow('deepseek/m has two prices in the source');
  });
});
