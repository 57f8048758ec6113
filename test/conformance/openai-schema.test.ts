import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream } from '../support/sse.ts';

/** Written by extract-openai-schemas.ts. */
const SCHEMAS = new URL('openai-schemas.json', import.meta.url);
const PROVIDERS = {
  plain: '',
  tools: 'tools',
  refusing: 'refusal',
  logprobs: 'logprobs',
  rejecting: 'seq=400',
  failing: 'seq=500',
  cut: 'seq=cut',
};

const ajv = new Ajv2020({ allErrors: true, strict: false, formats: { unixtime: true } });
addFormats.default(ajv);
ajv.addSchema(JSON.parse(readFileSync(SCHEMAS, 'utf8')) as object, 'openai');

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: { ...PROVIDERS, simulated: 'simulated' },
    routes: { route: { targets: ['plain/m'] } },
  });
});

afterAll(() => journey.stop());

/** What an answer has against the schema of that name. */
function faults(name: string, answer: unknown): unknown[] {
  ajv.validate(`openai#/$defs/${name}`, answer);
  return (ajv.errors ?? []).map(({ instancePath, message, params }) => ({ at: instancePath, message, ...params }));
}

const ANSWERS = [
  { model: 'plain/m', more: {} },
  { model: 'plain/m', more: { n: 3 } },
  { model: 'plain/m', more: { max_tokens: 2 } },
  { model: 'route', more: {} },
  { model: 'tools/m', more: {} },
  { model: 'refusing/m', more: {} },
  { model: 'logprobs/m', more: { logprobs: true } },
  { model: 'simulated/echo', more: {} },
  { model: 'simulated/lorem', more: { max_tokens: 20 } },
];

test.each(ANSWERS)('a plain answer is a CreateChatCompletionResponse: $model $more', async ({ model, more }) => {
  const response = await journey.chat(model, more);
  expect(response.status).toBe(200);
  expect(faults('CreateChatCompletionResponse', await response.json())).toEqual([]);
});

test.each(ANSWERS)(
  'each event of a stream is a CreateChatCompletionStreamResponse: $model $more',
  async ({ model, more }) => {
    const { chunks, isDone } = await readStream(await journey.chat(model, { ...more, stream: true }));
    expect(isDone).toBe(true);
    expect(chunks.flatMap((chunk) => faults('CreateChatCompletionStreamResponse', chunk))).toEqual([]);
  },
);

test.each(['plain/m', 'simulated/lorem'])('so is each event of a stream with usage: %s', async (model) => {
  const { chunks } = await readStream(
    await journey.chat(model, { stream: true, max_tokens: 20, stream_options: { include_usage: true } }),
  );
  expect(chunks.at(-1)?.usage).toBeTruthy();
  expect(chunks.flatMap((chunk) => faults('CreateChatCompletionStreamResponse', chunk))).toEqual([]);
});

test('embeddings are a CreateEmbeddingResponse', async () => {
  const response = await journey.gateway.post('/v1/embeddings', { model: 'plain/m', input: ['one', 'two'] });
  expect(faults('CreateEmbeddingResponse', await response.json())).toEqual([]);
});

test('the list of models is a ListModelsResponse', async () => {
  const { response } = await journey.openai.models.list().withResponse();
  expect(response.status).toBe(200);
  expect(faults('ListModelsResponse', await journey.get('/v1/models'))).toEqual([]);
});

test.each(['route', 'plain/m'])('one model is a Model: %s', async (id) => {
  expect(faults('Model', await journey.get(`/v1/models/${id}`))).toEqual([]);
});

test.each([
  { what: 'of the caller', model: 'plain/m', more: { messages: 'none' } },
  { what: 'of an unknown model', model: 'unknown', more: {} },
  { what: 'that the provider reports', model: 'rejecting/m', more: {} },
  { what: 'of the provider', model: 'failing/m', more: {} },
])('an error $what is an ErrorResponse', async ({ model, more }) => {
  const response = await journey.chat(model, more);
  expect(response.status).toBeGreaterThanOrEqual(400);
  expect(faults('ErrorResponse', await response.json())).toEqual([]);
});

test('an error inside of a stream is an ErrorResponse', async () => {
  const { events } = await readStream(await journey.chat('cut/m', { stream: true }));
  expect(faults('ErrorResponse', JSON.parse(events.at(-1) ?? ''))).toEqual([]);
});

test.each([
  { method: 'GET', path: '/v1/chat/completions', key: true },
  { method: 'GET', path: '/v1/nothing', key: true },
  { method: 'GET', path: '/v1/models', key: false },
  { method: 'GET', path: '/v1/models/unknown', key: true },
])('an error of the door is an ErrorResponse: $method $path (key: $key)', async ({ method, path, key }) => {
  const init = key ? { headers: journey.headers } : {};
  const response = await fetch(`${journey.gateway.url}${path}`, { method, ...init });
  expect(response.status).toBeGreaterThanOrEqual(400);
  expect(faults('ErrorResponse', await response.json())).toEqual([]);
});

test('the schemas refuse what is no answer', () => {
  expect(faults('CreateChatCompletionResponse', { id: '1', object: 'chat.completion', choices: [] })).not.toEqual([]);
  expect(faults('ErrorResponse', { error: 'oops' })).not.toEqual([]);
});
