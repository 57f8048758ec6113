import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseOpenAiRequest } from '../../../shared/dialects/openai.ts';
import type { GatewayError } from '../../../shared/errors.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import { deploymentOf, taskHeadOf } from '../../../shared/testing/fixtures.ts';
import { openai } from './openai.ts';
import { readOpenAiError, readOpenAiStreamError } from './openai-error.ts';
import { OpenAiStream } from './openai-stream.ts';
import { readOpenAiUsage } from './openai-usage.ts';

const CLIENTS_NAME = 'my "model"/ü';
const fixture = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url));

const taskOf = (fields: Partial<TaskHead>): TaskHead => taskHeadOf({ model: CLIENTS_NAME, ...fields });

describe('a request', () => {
  const encode = (body: string, upstream: string, parts = 1): string => {
    const bytes = Buffer.from(body);
    const parsed = parseOpenAiRequest('chat', bytes);
    const task = taskOf({ ...parsed, bodyBytes: bytes.length });
    const size = Math.ceil(bytes.length / parts);
    const cut = Array.from({ length: parts }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
    return Buffer.concat([
      ...openai.encodeRequest(task, cut, deploymentOf('p/m', { upstreamModel: upstream })).body,
    ]).toString();
  };
  const messages = '"messages":[{"role":"user","content":"\\"model\\":1 ü😀"}]';

  test.each([
    { body: `{"model":"a",${messages}}`, sent: `{"model":"b",${messages}}`, why: 'the model’s name alone' },
    { body: `{ ${messages} , "model" : "a" }`, sent: `{ ${messages} , "model" : "b" }`, why: 'wherever it stands' },
    {
      body: `{${messages},"model":"a","stream":true}`,
      sent: `{"stream_options":{"include_usage":true},${messages},"model":"b","stream":true}`,
      why: 'and asks for the usage of a stream',
    },
    {
      body: `{${messages},"stream_options":{"include_usage":false,"x":1},"model":"a","stream":true}`,
      sent: `{${messages},"stream_options":{"include_usage":true,"x":1},"model":"b","stream":true}`,
      why: 'and keeps the options it does not know',
    },
    {
      body: `{${messages},"stream_options":null,"model":"a","stream":true}`,
      sent: `{${messages},"stream_options":{"include_usage":true},"model":"b","stream":true}`,
      why: 'and fills options that are null',
    },
    {
      body: `{${messages},"stream_options":{"include_usage":true},"model":"a","stream":true}`,
      sent: `{${messages},"stream_options":{"include_usage":true},"model":"b","stream":true}`,
      why: 'and leaves options that ask for it already',
    },
    {
      body: `{${messages},"n":12345678901234567890,"model":"a","seed":1.0}`,
      sent: `{${messages},"n":12345678901234567890,"model":"b","seed":1.0}`,
      why: 'and no number is touched',
    },
  ])('is changed in $why', ({ body, sent }) => {
    for (const parts of [1, 2, 3, 7, body.length]) expect(encode(body, 'b', parts)).toBe(sent);
  });

  test('loses what was the gateway’s own, and no provider sees it', () => {
    const name = fc.string({ minLength: 1 }).filter((key) => !['sluice', 'model', 'messages', 'stream'].includes(key));
    const others = fc.dictionary(
      name.filter((key) => key !== 'stream_options' && key !== '__proto__'),
      fc.jsonValue({ maxDepth: 2 }),
      { maxKeys: 4 },
    );
    const indents = fc.constantFrom(undefined, 2, '\t');
    fc.assert(
      fc.property(
        others,
        others,
        fc.nat(2),
        fc.boolean(),
        indents,
        fc.nat(9),
        (before, after, place, stream, indent, parts) => {
          const own = [
            ['model', 'a'],
            ['messages', [{ role: 'user', content: '"sluice":{}' }]],
            ['stream', stream],
          ] as [string, unknown][];
          own.splice(place, 0, ['sluice', { strategy: 'ordered', x: [{ sluice: '}' }] }]);
          const request = Object.fromEntries([...Object.entries(before), ...own, ...Object.entries(after)]);
          const sent = JSON.parse(encode(JSON.stringify(request, null, indent), 'b', parts + 1)) as object;
          const { sluice: _, ...rest } = JSON.parse(JSON.stringify(request)) as Record<string, unknown>;
          expect(sent).toEqual({ ...rest, model: 'b', ...(stream && { stream_options: { include_usage: true } }) });
        },
      ),
    );
  });

  test('that begins with it may be a stream', () => {
    expect(encode(`{"sluice":{},"model":"a","stream":true,${messages}}`, 'b')).toBe(
      `{"stream_options":{"include_usage":true},"model":"b","stream":true,${messages}}`,
    );
  });

  test('that needs no change passes as the very bytes that came', () => {
    const body = [Buffer.from('{"model":"a"'), Buffer.from(',"x":1}')];
    expect(openai.encodeRequest(taskOf({ model: 'a' }), body, deploymentOf('p/a')).body).toBe(body);
  });
});

describe('a plain answer', () => {
  test.each([
    {
      name: 'openai-plain.json',
      usage: { inputTokens: 1219, outputTokens: 14, cachedInputTokens: 1024, reasoningTokens: 6 },
      finish: 'stop',
      model: 'gpt-4o-mini-2024-07-18',
    },
    {
      name: 'groq-plain.json',
      usage: { inputTokens: 40, outputTokens: 2, cachedInputTokens: 0, reasoningTokens: 0 },
      finish: 'length',
      model: 'llama-3.1-8b-instant',
    },
  ])('$name: its usage is read, and only the model’s name is replaced', ({ name, usage, finish, model }) => {
    const body = fixture(name);
    const answer = openai.readAnswer(taskOf({}), body);
    expect(answer).toMatchObject({ usage, finish });
    const expected = body.toString().replace(JSON.stringify(model), JSON.stringify(CLIENTS_NAME));
    expect(Buffer.concat([...answer.body]).toString()).toBe(expected);
    expect(openai.readAnswer(taskOf({ model }), body).body).toEqual([body]);
  });

  test('embeddings have input tokens alone', () => {
    const answer = openai.readAnswer(
      taskOf({ endpoint: 'embeddings', model: 'text-embedding-3-small' }),
      fixture('openai-embeddings.json'),
    );
    expect(answer.usage).toEqual({ inputTokens: 5, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 });
    expect(answer.finish).toBeNull();
  });

  test.each([
    { body: '', code: 'upstream_malformed' },
    { body: '<html>', code: 'upstream_malformed' },
    { body: '[]', code: 'upstream_malformed' },
    { body: 'null', code: 'upstream_malformed' },
    { body: '{}', code: 'upstream_malformed' },
    { body: '{"choices":[]}', code: 'upstream_malformed' },
    { body: '{"choices":{}}', code: 'upstream_malformed' },
    { body: '{"choices":[{}]}', code: 'upstream_malformed' },
    { body: '{"choices":[{"message":{}},null]}', code: 'upstream_malformed' },
    { body: '{"model":"a","model":"b","choices":[{"message":{}}]}', code: 'upstream_malformed' },
    { body: '{"error":{"message":"no"}}', code: 'upstream_failed' },
  ])('$body is none', ({ body, code }) => {
    expect(() => openai.readAnswer(taskOf({}), Buffer.from(body))).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('a stream', () => {
  const STREAMS = [
    { name: 'openai-stream.sse', model: 'gpt-4o-mini-2024-07-18', input: 11, output: 7, reasoning: 2, seen: 3 },
    { name: 'azure-stream.sse', model: 'gpt-4o-mini-2024-07-18', input: 9, output: 2, reasoning: 0, seen: 1 },
    { name: 'vllm-stream.sse', model: 'meta-llama/Llama-3.1-8B-Instruct', input: 38, output: 3, reasoning: 0, seen: 2 },
    { name: 'groq-stream.sse', model: 'llama-3.1-8b-instant', input: 40, output: 2, reasoning: 0, seen: 1 },
    {
      name: 'openrouter-stream.sse',
      model: 'deepseek/deepseek-r1',
      input: 5,
      output: 9,
      reasoning: 7,
      seen: undefined,
    },
  ];

  function read(
    bytes: Buffer,
    cuts: readonly number[],
    includeUsage: boolean,
  ): { output: string; stream: OpenAiStream } {
    const stream = new OpenAiStream(CLIENTS_NAME, includeUsage);
    const points = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
    const output: Buffer[] = [];
    for (const [i, from] of points.entries()) {
      // A copy: what the socket's buffer holds next must not reach what was kept.
      const chunk = Buffer.from(bytes.subarray(from, points[i + 1] ?? from));
      stream.push(chunk);
      for (const part of stream.takeOutput()) output.push(Buffer.from(part));
      chunk.fill(0);
    }
    return { output: Buffer.concat(output).toString(), stream };
  }

  const renamed = (text: string, model: string): string =>
    text
      .replaceAll(`"model":${JSON.stringify(model)}`, `"model":${JSON.stringify(CLIENTS_NAME)}`)
      .replace('"model":""', `"model":${JSON.stringify(CLIENTS_NAME)}`);

  test.each(STREAMS)(
    '$name: whatever its cuts, it is the client’s stream, whole and counted',
    ({ name, model, input, output, reasoning, seen }) => {
      const bytes = fixture(name);
      const whole = renamed(bytes.toString(), model);
      const withoutUsage = whole
        .replace(/data: [^\n]*"choices":\[\],[^\n]*"usage":\{[^\n]*\n\n/, '')
        .replaceAll(/,"usage":null|"usage":null,/g, '');
      fc.assert(
        fc.property(fc.array(fc.nat({ max: 5_000 }), { maxLength: 20 }), fc.boolean(), (cuts, includeUsage) => {
          const result = read(bytes, cuts, includeUsage);
          expect(result.output).toBe(includeUsage ? whole : withoutUsage);
          expect(result.stream).toMatchObject({ isComplete: true, hasContent: true, finish: 'stop' });
          expect(result.stream.usage).toEqual({
            ...{ inputTokens: input, outputTokens: output, cachedInputTokens: 0, reasoningTokens: reasoning },
          });
          if (seen !== undefined) expect(result.stream.outputTokensSoFar).toBe(seen);
        }),
        { numRuns: 60 },
      );
    },
  );

  test.each(STREAMS)('$name: nothing is content before the first token', ({ name }) => {
    const text = fixture(name).toString();
    const firstContent = text.split('\n\n').findIndex((event) => /"(content|reasoning)":"[^"]/.test(event));
    const before = `${text.split('\n\n').slice(0, firstContent).join('\n\n')}\n\n`;
    const stream = new OpenAiStream(CLIENTS_NAME, false);
    stream.push(Buffer.from(before));
    expect(stream).toMatchObject({ hasContent: false, isComplete: false, missing: 'its finish reason' });
  });

  test.each(STREAMS)('$name: cut anywhere before its end mark it is not whole', ({ name }) => {
    const bytes = fixture(name);
    const endMark = bytes.lastIndexOf('data: [DONE]');
    fc.assert(
      fc.property(fc.nat({ max: endMark }), (at) => {
        const stream = new OpenAiStream(CLIENTS_NAME, false);
        stream.push(bytes.subarray(0, at));
        expect(stream.isComplete).toBe(false);
      }),
    );
  });

  test.each([
    { event: 'not json', code: 'upstream_malformed' },
    { event: '[]', code: 'upstream_malformed' },
    { event: '{}', code: 'upstream_malformed' },
    { event: '{"choices":[1]}', code: 'upstream_malformed' },
    { event: '{"error":{"message":"boom","type":"server_error"}}', code: 'upstream_failed' },
    { event: '{"error":{"message":"slow","code":429}}', code: 'upstream_throttled' },
    { event: '{"error":{"message":"bad","type":"invalid_request_error"}}', code: 'upstream_rejected' },
    {
      event: '{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}',
      code: 'context_length_exceeded',
    },
    { event: '[DONE]', code: 'upstream_cut_off' },
  ])('$event in it is $code', ({ event, code }) => {
    const stream = new OpenAiStream(CLIENTS_NAME, false);
    expect(() => stream.push(Buffer.from(`data: ${event}\n\n`))).toThrow(expect.objectContaining({ code }) as Error);
  });

  test('of several choices is whole when all of them have come to their end', () => {
    const stream = new OpenAiStream('m', false);
    const event = (index: number, finish: string | null): string =>
      `data: ${JSON.stringify({ choices: [{ index, delta: { content: 'x' }, finish_reason: finish }] })}\n\n`;
    stream.push(Buffer.from(event(0, null) + event(1, null) + event(0, 'stop')));
    expect(stream.missing).toBe('its finish reason');
    stream.push(Buffer.from(`${event(1, 'length')}data: [DONE]\n\n`));
    expect(stream).toMatchObject({ isComplete: true, finish: 'stop' });
  });
});

describe('an error answer', () => {
  const read = (status: number, body: string, headers = {}): GatewayError =>
    readOpenAiError(status, headers, Buffer.from(body), 0);
  const openAis = '{"error":{"message":"m","type":"t","param":"p","code":"c"}}';

  test.each([
    { status: 400, code: 'upstream_rejected' },
    { status: 404, code: 'upstream_rejected' },
    { status: 413, code: 'upstream_rejected' },
    { status: 422, code: 'upstream_rejected' },
    { status: 408, code: 'upstream_failed' },
    { status: 409, code: 'upstream_failed' },
    { status: 425, code: 'upstream_failed' },
    { status: 429, code: 'upstream_throttled' },
    { status: 500, code: 'upstream_failed' },
    { status: 503, code: 'upstream_failed' },
    { status: 529, code: 'upstream_failed' },
    { status: 302, code: 'upstream_failed' },
  ])('$status is $code, in the provider’s words', ({ status, code }) => {
    const upstream = { status, code: 'c', type: 't' };
    expect(read(status, openAis)).toMatchObject({ code, message: 'm', param: 'p', upstream });
  });

  const overlong = { code: 'context_length_exceeded' };
  test.each([
    { error: { message: 'm', code: 'context_length_exceeded' }, ...overlong },
    { error: { message: 'This model’s maximum context length is 4096 tokens. However, …', code: 400 }, ...overlong },
    { error: { message: "This model's maximum prompt length is 131072 but the request contains 2" }, ...overlong },
    { error: { message: 'The decoder prompt (5) is longer than the maximum model length of 4' }, ...overlong },
    { error: { message: "The input (9 tokens) is longer than the model's context length (8)" }, ...overlong },
    { error: { message: 'the request exceeds the available context size' }, ...overlong },
    { error: { message: 'Your input exceeds the context window of this model.' }, ...overlong },
    { error: { message: 'max_tokens is too large: 9. This model supports at most 8' }, code: 'upstream_rejected' },
    { error: { message: 'm', code: 'content_filter' }, code: 'content_filtered' },
    { error: { message: 'm', code: 'content_policy_violation' }, code: 'content_filtered' },
  ])('$error is $code, in the provider’s words', ({ error, code }) => {
    const upstream = { status: 400, code: error.code === undefined ? undefined : String(error.code) };
    expect(read(400, JSON.stringify({ error }))).toMatchObject({ code, message: error.message, upstream });
    expect(read(500, JSON.stringify({ error })).code).toBe('upstream_failed');
  });

  test.each([401, 403])('%i concerns the gateway’s credential: nothing of the provider’s words is kept', (status) => {
    const error = read(
      status,
      '{"error":{"message":"Incorrect API key: sk-secret","param":"sk-secret","code":"sk-secret"}}',
    );
    expect(error.code).toBe('upstream_unauthorized');
    expect(JSON.stringify(error.toWire())).not.toContain('sk-secret');
  });

  test.each([
    { body: '', message: 'The provider answered with status 500.' },
    { body: '<html>Bad gateway</html>', message: 'The provider answered with status 500.' },
    { body: '{"error":"plain text"}', message: 'plain text' },
    { body: '{"message":"of vLLM","type":"BadRequestError","code":400}', message: 'of vLLM' },
    { body: '{"error":{"message":""}}', message: 'The provider answered with status 500.' },
    { body: '{"error":[1]}', message: 'The provider answered with status 500.' },
    { body: '{"detail":"of FastAPI"}', message: 'The provider answered with status 500.' },
    { body: `{"error":{"message":"${'x'.repeat(5_000)}"}}`, message: 'x'.repeat(2_000) },
  ])('the body $body', ({ body, message }) => {
    expect(read(500, body).message).toBe(message);
  });

  test('says when to come back', () => {
    expect(read(429, openAis, { 'retry-after': '7' }).retryAfterMs).toBe(7_000);
  });

  test.each([null, 1, 'text', {}, [], { message: 4, code: {} }])('inside of a stream, %j is a failure too', (error) => {
    expect(readOpenAiStreamError(error)).toMatchObject({ code: 'upstream_failed' });
  });
});

describe('a usage object', () => {
  test.each([
    undefined,
    null,
    [],
    'x',
    {},
    { prompt_tokens: -1 },
    { prompt_tokens: 1.5 },
    { prompt_tokens: '5' },
    { prompt_tokens: 1e300 },
    { prompt_tokens: 1, completion_tokens: -1 },
    { prompt_tokens: 5e8, completion_tokens: 1 },
  ])('%j is none', (value) => {
    expect(readOpenAiUsage(value)).toBeUndefined();
  });

  test('details that make no sense count as nothing', () => {
    const usage = {
      prompt_tokens: 3,
      completion_tokens: 4,
      prompt_tokens_details: [],
      completion_tokens_details: { reasoning_tokens: -1 },
    };
    expect(readOpenAiUsage(usage)).toEqual({
      inputTokens: 3,
      outputTokens: 4,
      cachedInputTokens: 0,
      reasoningTokens: 0,
    });
  });
});
