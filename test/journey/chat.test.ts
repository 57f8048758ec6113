import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestGateway, TEST_KEY } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;
let openai: OpenAI;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=8' });
  gateway = await startTestGateway({
    yaml: `providers: { mock: { dialect: openai, base_url: "${provider.url}/v1", api_key: sk-upstream, models: { gpt-mock: { price: { input: "1 USD", output: "2 USD" } } } } }`,
  });
  openai = new OpenAI({ baseURL: gateway.baseUrl, apiKey: TEST_KEY, maxRetries: 0 });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

test('a plain answer comes through, says who served it, and what it cost', async () => {
  const { data, response } = await openai.chat.completions
    .create({ model: 'gpt-mock', messages: [{ role: 'user', content: 'hello' }] })
    .withResponse();
  expect(data.model).toBe('gpt-mock');
  expect(data.choices[0]?.message.content).toContain('token');
  expect(response.headers.get('x-sluice-deployment')).toBe('mock/gpt-mock');
  expect(response.headers.get('x-sluice-attempts')).toBe('1');
  const usage = data.usage as OpenAI.CompletionUsage;
  const dollars = Number(response.headers.get('x-sluice-cost'));
  expect(dollars).toBeCloseTo((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6, 12);
});

test('a stream comes through token by token', async () => {
  const stream = await openai.chat.completions.create({
    model: 'mock/gpt-mock',
    messages: [{ role: 'user', content: 'hello' }],
    stream: true,
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('token '.repeat(8));
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(new Set(chunks.map(({ model }) => model))).toEqual(new Set(['mock/gpt-mock']));
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  expect(chunks.every((chunk) => chunk.usage === undefined || chunk.usage === null)).toBe(true);
});
