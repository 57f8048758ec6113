import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../shared/errors.ts';
import { startTestGateway } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  gateway = await startTestGateway({
    log: 'fatal',
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { gpt-mock: {} } } }`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

/** Stands in every bad body: no answer may quote it. */
const PROMPT = 'the-prompt-that-nobody-quotes';
const DEPTH = 200_000;
const nested = '['.repeat(DEPTH) + ']'.repeat(DEPTH);
const messages = `"messages":[{"role":"user","content":"${PROMPT}"}]`;

const valid = `{"model":"gpt-mock",${messages}}`;

interface Bad {
  readonly why: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly code: ErrorCode;
  readonly param?: string;
  /** What the message must say. */
  readonly says?: RegExp;
}

async function expectRefused(path: string, { body, code, param, says }: Bad): Promise<void> {
  const before = provider.stats().total.requests;
  const response = await gateway.post(path, undefined, { body });
  const { message } = await expectOpenAiError(response, code, param ?? null);
  expect(message).not.toContain(PROMPT);
  if (says !== undefined) expect(message).toMatch(says);
  expect(provider.stats().total.requests).toBe(before);
}

describe('a chat request is refused before anybody is asked', () => {
  const bad: Bad[] = [
    { why: 'no body', body: '', code: 'invalid_json', says: /no body/ },
    { why: 'spaces alone', body: '  \n ', code: 'invalid_json', says: /line 2, column 2/ },
    { why: 'no JSON at all', body: PROMPT, code: 'invalid_json', says: /line 1, column 2/ },
    {
      why: 'a comma too many',
      body: `{"model":"gpt-mock",${messages},}`,
      code: 'invalid_json',
      says: new RegExp(`line 1, column ${valid.length + 1}\\b`),
    },
    { why: 'an end too early', body: `{"model":"gpt-mock","x":"${PROMPT}`, code: 'invalid_json', says: /line 1/ },
    {
      why: 'a raw newline in a string',
      body: `{\n"x": "${PROMPT}\n"}`,
      code: 'invalid_json',
      says: /line 2, column 36/,
    },
    {
      why: 'two values',
      body: `${valid} {}`,
      code: 'invalid_json',
      says: new RegExp(`line 1, column ${valid.length + 2}\\b`),
    },
    { why: 'a lone bracket, deep', body: '['.repeat(DEPTH), code: 'invalid_json', says: /column 200001/ },
    {
      why: 'bytes that are no UTF-8',
      body: Buffer.concat([Buffer.from('{"model":"gpt-mock","x":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
      code: 'invalid_json',
      says: /UTF-8/,
    },
    {
      why: 'a byte order mark',
      body: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(`{"model":"gpt-mock",${messages}}`)]),
      code: 'invalid_json',
      says: /byte order mark/,
    },
    { why: 'UTF-16', body: Buffer.from(`{"model":"gpt-mock",${messages}}`, 'utf16le'), code: 'invalid_json' },
    { why: 'an array', body: `[{"model":"gpt-mock",${messages}}]`, code: 'invalid_request', says: /array/ },
    { why: 'an array, deep', body: nested, code: 'invalid_request', says: /array/ },
    { why: 'a string', body: JSON.stringify(PROMPT), code: 'invalid_request', says: /string/ },
    { why: 'a number', body: '1e400', code: 'invalid_request', says: /number/ },
    { why: 'null', body: 'null', code: 'invalid_request', says: /null/ },
    { why: 'true', body: 'true', code: 'invalid_request', says: /boolean/ },
    { why: 'an empty object', body: '{}', code: 'invalid_request', param: 'model', says: /[Mm]issing/ },
    { why: 'no model', body: `{${messages}}`, code: 'invalid_request', param: 'model', says: /[Mm]issing/ },
    { why: 'a model that is null', body: `{"model":null,${messages}}`, code: 'invalid_request', param: 'model' },
    { why: 'a model that is a number', body: `{"model":4,${messages}}`, code: 'invalid_request', param: 'model' },
    { why: 'an empty model', body: `{"model":"",${messages}}`, code: 'invalid_request', param: 'model' },
    {
      why: 'a model of 513 characters',
      body: `{"model":"${'m'.repeat(513)}",${messages}}`,
      code: 'invalid_request',
      param: 'model',
    },
    {
      why: 'two models',
      body: `{"model":"gpt-mock",${messages},"model":"other"}`,
      code: 'invalid_request',
      param: 'model',
      says: /twice/,
    },
    {
      why: 'two models, one written with an escape',
      body: `{"model":"gpt-mock",${messages},"mode\\u006c":"gpt-mock"}`,
      code: 'invalid_request',
      param: 'model',
      says: /twice/,
    },
    {
      why: 'no messages',
      body: '{"model":"gpt-mock"}',
      code: 'invalid_request',
      param: 'messages',
      says: /[Mm]issing/,
    },
    { why: 'empty messages', body: '{"model":"gpt-mock","messages":[]}', code: 'invalid_request', param: 'messages' },
    {
      why: 'messages that are a string',
      body: `{"model":"gpt-mock","messages":"${PROMPT}"}`,
      code: 'invalid_request',
      param: 'messages',
    },
    {
      why: 'a message that is a string',
      body: `{"model":"gpt-mock","messages":["${PROMPT}"]}`,
      code: 'invalid_request',
      param: 'messages[0]',
    },
    {
      why: 'a message without a role',
      body: `{"model":"gpt-mock","messages":[{"content":"${PROMPT}"}]}`,
      code: 'invalid_request',
      param: 'messages[0].role',
    },
    {
      why: 'a second message with a role that is a number',
      body: `{"model":"gpt-mock","messages":[{"role":"user","content":"${PROMPT}"},{"role":7}]}`,
      code: 'invalid_request',
      param: 'messages[1].role',
    },
    {
      why: 'messages nested 200,000 levels deep',
      body: `{"model":"gpt-mock","messages":${nested}}`,
      code: 'invalid_request',
      param: 'messages[0]',
    },
    {
      why: 'a million messages that are none',
      body: `{"model":"gpt-mock","messages":[0${',0'.repeat(999_999)}]}`,
      code: 'invalid_request',
      param: 'messages[0]',
    },
    {
      why: 'stream: "yes"',
      body: `{"model":"gpt-mock",${messages},"stream":"yes"}`,
      code: 'invalid_request',
      param: 'stream',
    },
    { why: 'stream: 1', body: `{"model":"gpt-mock",${messages},"stream":1}`, code: 'invalid_request', param: 'stream' },
    {
      why: 'stream_options that are a string',
      body: `{"model":"gpt-mock",${messages},"stream":true,"stream_options":"all"}`,
      code: 'invalid_request',
      param: 'stream_options',
    },
    {
      why: 'include_usage: "yes"',
      body: `{"model":"gpt-mock",${messages},"stream":true,"stream_options":{"include_usage":"yes"}}`,
      code: 'invalid_request',
      param: 'stream_options.include_usage',
    },
    {
      why: 'two stream_options',
      body: `{"model":"gpt-mock",${messages},"stream_options":{},"stream":true,"stream_options":{}}`,
      code: 'invalid_request',
      param: 'stream_options',
    },
    {
      why: 'stream_options nested 200,000 levels deep',
      body: `{"model":"gpt-mock",${messages},"stream":true,"stream_options":{"x":${nested}}}`,
      code: 'invalid_request',
      param: 'stream_options',
    },
    {
      why: 'a model that nobody knows',
      body: `{"model":"gpt-unknown",${messages}}`,
      code: 'model_not_found',
      param: 'model',
      says: /gpt-unknown/,
    },
    {
      why: 'a model of a provider that nobody knows',
      body: `{"model":"nobody/gpt-mock",${messages}}`,
      code: 'model_not_found',
      param: 'model',
    },
    {
      why: 'a model named __proto__',
      body: `{"model":"__proto__",${messages}}`,
      code: 'model_not_found',
      param: 'model',
    },
  ];

  test.each(bad)('$why', async (row) => {
    await expectRefused('/v1/chat/completions', row);
  });
});

describe('an embeddings request is refused before anybody is asked', () => {
  const bad: Bad[] = [
    { why: 'no body', body: '', code: 'invalid_json' },
    { why: 'no JSON', body: `{"model":"gpt-mock","input":"${PROMPT}"`, code: 'invalid_json', says: /line 1, column/ },
    { why: 'no model', body: `{"input":"${PROMPT}"}`, code: 'invalid_request', param: 'model' },
    { why: 'two models', body: '{"model":"a","input":"x","model":"b"}', code: 'invalid_request', param: 'model' },
    { why: 'no input', body: '{"model":"gpt-mock"}', code: 'invalid_request', param: 'input', says: /[Mm]issing/ },
    { why: 'an empty input', body: '{"model":"gpt-mock","input":""}', code: 'invalid_request', param: 'input' },
    { why: 'no inputs', body: '{"model":"gpt-mock","input":[]}', code: 'invalid_request', param: 'input' },
    {
      why: 'an input that is a number',
      body: '{"model":"gpt-mock","input":7}',
      code: 'invalid_request',
      param: 'input',
    },
    {
      why: 'an input that is an object',
      body: `{"model":"gpt-mock","input":{"text":"${PROMPT}"}}`,
      code: 'invalid_request',
      param: 'input',
    },
    {
      why: 'inputs with an object',
      body: `{"model":"gpt-mock","input":["${PROMPT}",{}]}`,
      code: 'invalid_request',
      param: 'input[1]',
    },
    {
      why: 'tokens with a string among them',
      body: `{"model":"gpt-mock","input":[[1,2,"${PROMPT}"]]}`,
      code: 'invalid_request',
      param: 'input[0][2]',
    },
    {
      why: 'a million inputs that are none',
      body: `{"model":"gpt-mock","input":[null${',null'.repeat(999_999)}]}`,
      code: 'invalid_request',
      param: 'input[0]',
    },
  ];

  test.each(bad)('$why', async (row) => {
    await expectRefused('/v1/embeddings', row);
  });
});

describe('what is odd but JSON passes as it came', () => {
  test.each([
    { what: 'content nested 200 levels deep', field: `"metadata":${'['.repeat(200)}${']'.repeat(200)}` },
    { what: 'numbers beyond every double', field: '"seed":123456789012345678901234567890,"x":1e999,"y":-0.0' },
    { what: 'a model in a place of its own', field: '"metadata":{"model":"other","m":["model"]}' },
    { what: 'unknown fields twice', field: '"x":1,"x":2' },
    { what: 'a lone surrogate, escaped', field: '"x":"\\ud800"' },
    { what: '__proto__', field: '"__proto__":{"model":"other"},"constructor":1' },
  ])('$what', async ({ field }) => {
    const body = `{"model":"gpt-mock",${messages},${field}}`;
    const response = await gateway.post('/v1/chat/completions', body);
    expect(await response.text()).toContain('"choices"');
    expect(provider.requests().at(-1)?.body.toString()).toBe(body);
  });

  test('content nested 200,000 levels deep reaches the provider, which says what it thinks of it', async () => {
    const body = `{"model":"gpt-mock",${messages},"metadata":${nested}}`;
    const response = await gateway.post('/v1/chat/completions', body);
    expect({ status: response.status, text: await response.text() }).toMatchObject({
      status: 400,
      text: expect.stringContaining('could not parse the JSON body') as string,
    });
    expect(provider.requests().at(-1)?.body.toString()).toBe(body);
  });

  test('a stream request with a null for its options', async () => {
    const body = `{"stream_options":null,"model":"gpt-mock",${messages},"stream":true}`;
    const response = await gateway.post('/v1/chat/completions', body);
    expect(await response.text()).toMatch(/\[DONE\]\n\n$/);
    expect(provider.requests().at(-1)?.body.toString()).toBe(body.replace(':null', ':{"include_usage":true}'));
  });

  test.each([
    { what: 'a batch of texts', input: ['a', 'b'] },
    { what: 'one text as tokens', input: [1, 2, 3] },
    { what: 'texts as tokens', input: [[1, 2], [3]] },
  ])('embeddings of $what', async ({ input }) => {
    const response = await gateway.post('/v1/embeddings', { model: 'gpt-mock', input });
    expect(response.status).toBe(200);
    await response.body?.cancel();
  });
});

describe('the header x-sluice-timeout', () => {
  test.each(['soon', '-1', '0', '1e3', '25h', '5 parsecs', ''])('%j is refused', async (timeout) => {
    const response = await gateway.post('/v1/chat/completions', `{"model":"gpt-mock",${messages}}`, {
      headers: { 'x-sluice-timeout': timeout },
    });
    await expectOpenAiError(response, 'invalid_request', 'x-sluice-timeout');
  });

  test.each(['30s', '500ms', '20000', '1h'])('%j is taken', async (timeout) => {
    const response = await gateway.post('/v1/chat/completions', `{"model":"gpt-mock",${messages}}`, {
      headers: { 'x-sluice-timeout': timeout },
    });
    expect(response.status).toBe(200);
    await response.body?.cancel();
  });
});

test('after all of this a request is served as ever', async () => {
  const response = await gateway.post('/v1/chat/completions', `{"model":"gpt-mock",${messages}}`);
  expect(response.status).toBe(200);
  await response.body?.cancel();
});
