import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { INSTANT } from './pace.ts';
import { startSimulatedProvider } from './server.ts';
import type { SimulatedProvider } from './server.ts';
import { loadTokenizer } from './tokens.ts';

let provider: SimulatedProvider;
let client: OpenAI;
beforeAll(async () => {
  provider = await startSimulatedProvider({ clock: systemClock, pace: INSTANT });
  client = new OpenAI({ baseURL: provider.baseUrl, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => provider.stop());

const user = (content: string) => [{ role: 'user' as const, content }];

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(`${provider.baseUrl}${path}`, { method: 'POST', body: text, ...(signal && { signal }) });
}

async function eventsOf(body: object): Promise<string[]> {
  const response = await post('/chat/completions', { ...body, stream: true });
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const text = await response.text();
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  return text
    .split('\n\n')
    .slice(0, -2)
    .map((event) => event.slice('data: '.length));
}

type Chunk = OpenAI.ChatCompletionChunk;
const chunksOf = async (body: object): Promise<Chunk[]> =>
  (await eventsOf(body)).map((json) => JSON.parse(json) as Chunk);
const textOf = (chunks: Chunk[], index = 0): string =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('');

describe('a plain answer', () => {
  test('of echo is the last user message, marked as simulated, with real token counts', async () => {
    const answer = await client.chat.completions.create({
      model: 'echo',
      messages: [
        { role: 'system', content: 'Be brief.' },
        ...user('first'),
        { role: 'assistant', content: 'ok' },
        ...user('Hello there!'),
      ],
    });
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'echo',
      system_fingerprint: 'fp_simulated',
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          logprobs: null,
          message: { role: 'assistant', content: '[simulated] Hello there!', refusal: null },
        },
      ],
    });
    const tokenizer = await loadTokenizer();
    const prompt = ['system', 'Be brief.', 'user', 'first', 'assistant', 'ok', 'user', 'Hello there!'];
    const promptTokens = prompt.reduce((sum, text) => sum + tokenizer.count([text]), 3 * 4 + 3);
    const completionTokens = tokenizer.count(['[simulated] Hello there!']);
    expect(answer.usage).toMatchObject({
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    });
  });

  test('of echo joins the text parts of a message', async () => {
    const content = [
      { type: 'text' as const, text: 'one' },
      { type: 'image_url' as const, image_url: { url: 'data:,' } },
      { type: 'text' as const, text: 'two' },
    ];
    const answer = await client.chat.completions.create({ model: 'echo', messages: [{ role: 'user', content }] });
    expect(answer.choices[0]?.message.content).toBe('[simulated] one\ntwo');
  });

  test('of lorem depends on the text alone, and is about 120 tokens', async () => {
    const ask = async (text: string) => client.chat.completions.create({ model: 'lorem', messages: user(text) });
    const [one, same, other] = await Promise.all([ask('a'), ask('a'), ask('b')]);
    expect(one.choices).toEqual(same.choices);
    expect(one.choices[0]?.message.content).not.toBe(other.choices[0]?.message.content);
    expect(one.choices[0]?.message.content).toMatch(/^\[simulated\] \S.*\.$/s);
    expect(one.usage?.completion_tokens).toBeGreaterThan(90);
    expect(one.usage?.completion_tokens).toBeLessThan(150);
  });

  test.each(['max_tokens', 'max_completion_tokens'])('ends at %s with `length`', async (name) => {
    for (const limit of [1, 7, 5_000]) {
      const answer = await client.chat.completions.create({ model: 'lorem', messages: user('x'), [name]: limit });
      expect(answer.choices[0]?.finish_reason).toBe('length');
      expect(answer.usage?.completion_tokens).toBe(limit);
    }
  });

  test('ends before a stop sequence, with `stop`', async () => {
    const answer = await client.chat.completions.create({
      model: 'echo',
      messages: user('one END two ##'),
      stop: ['##', 'END'],
    });
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: '[simulated] one ' } });
  });

  test('has as many choices as asked for', async () => {
    const answer = await client.chat.completions.create({ model: 'lorem', messages: user('x'), n: 4 });
    expect(new Set(answer.choices.map(({ message }) => message.content)).size).toBe(4);
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  });

  test('to a very long message ends at the longest answer there is', async () => {
    const answer = await client.chat.completions.create({ model: 'echo', messages: user('word '.repeat(100_000)) });
    expect(answer.choices[0]?.finish_reason).toBe('length');
    expect(answer.usage?.completion_tokens).toBe(16_384);
    expect(answer.usage?.prompt_tokens).toBeGreaterThanOrEqual(100_000);
  });
});

describe('a stream', () => {
  const HARD = '日本語の文章と한국어, naïve Ünïcödé 👩‍👩‍👧‍👦🎉🏳️‍🌈\u{1F9D1}\u{1F3FD} \u2028\u0000\uFEFF <|endoftext|> 𝔘𝔫𝔦 end';

  test('brings the same text and usage as the plain answer', async () => {
    for (const model of ['echo', 'lorem']) {
      for (const max_tokens of [undefined, 9]) {
        const body = { model, messages: user(HARD), max_tokens, n: 2 };
        const plain = (await (await post('/chat/completions', body)).json()) as OpenAI.ChatCompletion;
        const chunks = await chunksOf({ ...body, stream_options: { include_usage: true } });
        for (const choice of plain.choices) expect(textOf(chunks, choice.index)).toBe(choice.message.content);
        expect(chunks.at(-1)?.choices).toEqual([]);
        expect(chunks.at(-1)?.usage).toEqual(plain.usage);
        expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
        const finishes = chunks.flatMap(({ choices }) => choices).flatMap((choice) => choice.finish_reason ?? []);
        expect(finishes).toEqual(plain.choices.map((choice) => choice.finish_reason));
      }
    }
  });

  test('never cuts a character, and has one chunk for each token of plain words', async () => {
    const chunks = await chunksOf({ model: 'echo', messages: user(HARD) });
    expect(textOf(chunks)).toBe(`[simulated] ${HARD}`);
    for (const chunk of chunks) expect(chunk.choices[0]?.delta.content?.isWellFormed() ?? true).toBe(true);
    const words = await chunksOf({
      model: 'echo',
      messages: user('four plain words here'),
      stream_options: { include_usage: true },
    });
    const contents = words.filter(({ choices }) => (choices[0]?.delta.content ?? '') !== '');
    expect(contents).toHaveLength(words.at(-1)?.usage?.completion_tokens ?? 0);
  });

  test('begins with the role, ends with the finish reason, and has no usage unasked', async () => {
    const chunks = await chunksOf({ model: 'echo', messages: user('hi') });
    expect(chunks[0]?.choices[0]).toEqual({
      index: 0,
      delta: { role: 'assistant', content: '', refusal: null },
      logprobs: null,
      finish_reason: null,
    });
    expect(chunks.at(-1)?.choices[0]).toEqual({ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' });
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  test('is understood by the SDK', async () => {
    const stream = client.chat.completions.stream({ model: 'echo', messages: user('Zürich 🎉') });
    expect(await stream.finalContent()).toBe('[simulated] Zürich 🎉');
  });

  test('longer than every buffer arrives whole', async () => {
    const text = 'lorem 🎉 '.repeat(1_500);
    expect(textOf(await chunksOf({ model: 'echo', messages: user(text) }))).toBe(`[simulated] ${text}`);
  });
});

describe('tools', () => {
  const parameters = {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1 }, unit: { enum: ['C', 'F'] } },
    required: ['city', 'days'],
  };
  const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters } }];

  test.each([['required' as const], [{ type: 'function' as const, function: { name: 'get_weather' } }]])(
    'that are insisted on are called: %j',
    async (tool_choice) => {
      const body = { model: 'echo', messages: user('weather?'), tools, tool_choice };
      const plain = await client.chat.completions.create(body);
      const call = plain.choices[0]?.message.tool_calls?.[0];
      expect(plain.choices[0]?.finish_reason).toBe('tool_calls');
      expect(call).toMatchObject({
        type: 'function',
        function: { name: 'get_weather', arguments: '{"city":"simulated","days":1}' },
      });
      const final = await client.chat.completions.stream(body).finalChatCompletion();
      expect(final.choices[0]?.message.tool_calls?.[0]).toMatchObject({
        function: { name: 'get_weather', arguments: '{"city":"simulated","days":1}' },
      });
    },
  );

  test('that are only offered are not called, nor those whose schema has no end', async () => {
    const endless = [
      {
        type: 'function' as const,
        function: {
          name: 'f',
          parameters: { type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } }, required: ['a', 'b'] },
        },
      },
    ];
    for (const body of [{ tools }, { tools: endless, tool_choice: 'required' as const }]) {
      const answer = await client.chat.completions.create({ model: 'echo', messages: user('hi'), ...body });
      expect(answer.choices[0]?.message.content).toBe('[simulated] hi');
    }
  });
});

describe('embeddings', () => {
  const embed = async (input: unknown, more: object = {}): Promise<OpenAI.CreateEmbeddingResponse> =>
    (await (await post('/embeddings', { model: 'echo', input, ...more })).json()) as OpenAI.CreateEmbeddingResponse;

  test('are unit vectors, the same for the same text, of the length asked for', async () => {
    const answer = await embed(['a', 'b', 'a'], { dimensions: 64 });
    const [a, b, again] = answer.data.map(({ embedding }) => embedding);
    expect(a).toHaveLength(64);
    expect(Math.hypot(...(a ?? []))).toBeCloseTo(1, 6);
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
    expect((await embed('a')).data[0]?.embedding).toHaveLength(256);
  });

  test('are the same as floats and as base64', async () => {
    const floats = await client.embeddings.create({ model: 'lorem', input: ['Grüße 🎉'], encoding_format: 'float' });
    // The SDK asks for base64 by itself and decodes it.
    const decoded = await client.embeddings.create({ model: 'lorem', input: ['Grüße 🎉'] });
    expect(decoded.data[0]?.embedding).toEqual(floats.data[0]?.embedding);
  });

  test('count tokens, of texts and of token lists', async () => {
    const tokenizer = await loadTokenizer();
    expect((await embed(['Hello there!', 'two'])).usage.prompt_tokens).toBe(
      tokenizer.count(['Hello there!']) + tokenizer.count(['two']),
    );
    expect((await embed([1, 2, 3])).usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
    expect((await embed([[1, 2, 3], [4]])).data).toHaveLength(2);
  });

  test('of a long list arrive whole', async () => {
    const answer = await embed(
      Array.from({ length: 300 }, (_, i) => `text ${i}`),
      { dimensions: 1_024 },
    );
    expect(answer.data.map(({ index }) => index)).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });
});

describe('a bad request', () => {
  const messages = user('hi');
  test.each([
    { body: '{"model":', status: 400, param: null, code: null },
    { body: '[]', status: 400, param: null, code: null },
    { body: { model: 'echo' }, status: 400, param: 'messages', code: 'missing_required_parameter' },
    { body: { messages }, status: 400, param: 'model', code: 'missing_required_parameter' },
    { body: { model: 'echo', messages: [] }, status: 400, param: 'messages', code: 'empty_array' },
    {
      body: { model: 'echo', messages: [{ role: 'user' }] },
      status: 400,
      param: 'messages[0].content',
      code: 'invalid_type',
    },
    {
      body: { model: 'echo', messages: [{ role: 'user', content: 1 }] },
      status: 400,
      param: 'messages[0].content',
      code: 'invalid_type',
    },
    {
      body: { model: 'echo', messages: [{ role: 'boss', content: '' }] },
      status: 400,
      param: 'messages[0].role',
      code: 'invalid_value',
    },
    {
      body: { model: 'echo', messages, max_tokens: 0 },
      status: 400,
      param: 'max_tokens',
      code: 'integer_below_min_value',
    },
    { body: { model: 'echo', messages, n: 5 }, status: 400, param: 'n', code: 'integer_above_max_value' },
    { body: { model: 'echo', messages, stream: 'yes' }, status: 400, param: 'stream', code: 'invalid_type' },
    { body: { model: 'echo', messages, stream_options: {} }, status: 400, param: 'stream_options', code: null },
    { body: { model: 'gpt-4o', messages }, status: 404, param: null, code: 'model_not_found' },
  ])('is refused with all four fields: $code for $param', async ({ body, status, param, code }) => {
    const response = await post('/chat/completions', body);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: { message: expect.any(String) as string, type: 'invalid_request_error', param, code },
    });
  });

  test.each([
    [{ input: '' }],
    [{ input: [] }],
    [{ input: ['a', ''] }],
    [{ input: 'a', dimensions: 0 }],
    [{ input: [[]] }],
    [{ input: [1, 'a'] }],
  ])('for embeddings: %j', async (body) => {
    const response = await post('/embeddings', { model: 'echo', ...body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', param: Object.keys(body).at(-1) },
    });
  });

  test('makes the SDK throw what it throws for OpenAI', async () => {
    await expect(client.chat.completions.create({ model: 'nope', messages })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
    await expect(client.chat.completions.create({ model: 'echo', messages, n: 9 })).rejects.toBeInstanceOf(
      OpenAI.BadRequestError,
    );
  });

  test('that is too large is refused, and the next one served', async () => {
    const response = await post('/chat/completions', ' '.repeat(65 * 1024 * 1024));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 'request_too_large' } });
    expect((await post('/nowhere', {})).status).toBe(404);
  });

  test('hostile text costs no time', async () => {
    for (const text of [
      'a'.repeat(1_000_000),
      ' '.repeat(1_000_000),
      '\n'.repeat(300_000),
      '🎉'.repeat(200_000),
      'aA1!'.repeat(100_000),
      '\ud800'.repeat(10_000),
    ]) {
      const startedAt = systemClock.now();
      expect((await post('/chat/completions', { model: 'echo', messages: user(text) })).status).toBe(200);
      expect(systemClock.now() - startedAt).toBeLessThan(3_000);
    }
  });
});
