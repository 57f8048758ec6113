import net from 'node:net';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startProvider } from './provider.ts';
import type { ScriptedProvider } from './provider.ts';

let provider: ScriptedProvider;
beforeAll(async () => {
  provider = await startProvider();
});
afterEach(() => {
  provider.configure('');
  provider.reset();
});
afterAll(() => provider.stop());

const client = (script = ''): OpenAI =>
  new OpenAI({
    apiKey: 'sk-test',
    baseURL: script === '' ? `${provider.url}/v1` : `${provider.url}/m/${script}/v1`,
    maxRetries: 0,
  });

const ask = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'hello wörld' }] };

/** Sends bytes on a fresh connection; gives everything received until the server closes or `until` is in it. */
async function raw(
  pieces: readonly (string | Buffer)[],
  until?: string,
  gapMs = 0,
): Promise<{ text: string; error: string }> {
  const socket = net.connect({ port: provider.port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let error = '';
  const closed = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (until !== undefined && text.includes(until)) socket.destroy();
    });
    socket.on('error', (problem: NodeJS.ErrnoException) => (error = problem.code ?? ''));
    socket.on('close', () => resolve());
  });
  for (const piece of pieces) {
    socket.write(piece);
    if (gapMs > 0) await new Promise((resolve) => setTimeout(resolve, gapMs));
  }
  await closed;
  return { text, error };
}

function request(script: string, body: object, headers = 'Connection: close\r\n'): string {
  const json = JSON.stringify(body);
  const path = script === '' ? '' : `/m/${script}`;
  return `POST ${path}/v1/chat/completions HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
}

const streamed = (script: string): Promise<{ text: string; error: string }> =>
  raw([request(script, { ...ask, stream: true })]);

describe('with the official SDK', () => {
  test('a plain answer has text, finish reason and usage counted from the decoded prompt', async () => {
    const answer = await client('n=3').chat.completions.create(ask);
    expect(answer.choices[0]?.message).toMatchObject({
      role: 'assistant',
      content: 'token token token ',
      refusal: null,
    });
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 });
  });

  test('ids are unique and the same length', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => client().chat.completions.create(ask)));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(3);
    expect(new Set(answers.map(({ id }) => id.length)).size).toBe(1);
  });

  test('max_tokens shortens the answer and says length', async () => {
    const answer = await client('n=10').chat.completions.create({ ...ask, max_completion_tokens: 2 });
    expect(answer.choices[0]?.finish_reason).toBe('length');
    expect(answer.usage?.completion_tokens).toBe(2);
  });

  test('a stream has role first, content, one finish reason and the usage asked for', async () => {
    const stream = await client('n=4').chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('token token token token ');
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(['stop']);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(provider.stats().total).toMatchObject({
      requests: 1,
      promptTokens: 3,
      completionTokens: 4,
      streamsFinished: 1,
    });
  });

  test.each([
    'crlf=1',
    'nospace=1',
    'ping=1',
    'split=7',
    'bytewise=1',
    'itl=2',
    'logprobs=1',
    'bigint=1',
    'toksize=40',
  ])('a stream with %s reads the same', async (script) => {
    const stream = await client(`n=3&${script}`).chat.completions.create({ ...ask, stream: true });
    const chunks = await Array.fromAsync(stream);
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text.match(/token /g)).toHaveLength(3);
  });

  test('separators of other line conventions survive inside the text', async () => {
    const plain = await client('n=1&u2028=1').chat.completions.create(ask);
    expect(plain.choices[0]?.message.content).toContain('\u2028\u0085\u{1f642}\u2028');
    const stream = await client('n=2&u2028=1&split=9').chat.completions.create({ ...ask, stream: true });
    const text = (await Array.fromAsync(stream)).map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe('token \u2028\u0085\u{1f642}\u2028 '.repeat(2));
  });

  test('parallel tool calls arrive interleaved and add up to valid JSON', async () => {
    const stream = client('n=9&tools=1').chat.completions.stream(ask);
    const message = await stream.finalMessage();
    const calls = (message.tool_calls ?? []).flatMap((call) => (call.type === 'function' ? [call.function] : []));
    expect(calls.map(({ name }) => name)).toEqual(['get_weather', 'get_time']);
    expect(calls.map((call): unknown => JSON.parse(call.arguments))).toEqual([{ q: 'w1w2w3' }, { q: 'w1w2' }]);
    const plain = await client('n=9&tools=1').chat.completions.create(ask);
    expect(plain.choices[0]?.finish_reason).toBe('tool_calls');
    expect(plain.choices[0]?.message.tool_calls).toMatchObject(calls.map((call) => ({ function: call })));
  });

  test('refusals and several choices', async () => {
    const refused = await client('n=2&refusal=1').chat.completions.stream(ask).finalMessage();
    expect(refused).toMatchObject({ content: null, refusal: 'token token ' });
    const two = await client('n=2').chat.completions.create({ ...ask, n: 2 });
    expect(two.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(two.usage?.completion_tokens).toBe(4);
  });

  test('embeddings as floats and as base64 are the same vectors', async () => {
    const input = ['one', 'two'];
    const floats = await client().embeddings.create({ model: 'e', input, dimensions: 8, encoding_format: 'float' });
    const packed = await client().embeddings.create({ model: 'e', input, dimensions: 8 }); // the SDK asks for base64
    expect(floats.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(packed.data[1]?.embedding).toHaveLength(8);
    expect(packed.data[1]?.embedding[0]).toBeCloseTo(floats.data[1]?.embedding[0] ?? NaN, 6);
    expect(floats.usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
  });

  test('models can be listed', async () => {
    const models = await Array.fromAsync(client().models.list());
    expect(models.map(({ id }) => id)).toContain('gpt-4o');
  });

  test.each([
    [400, OpenAI.BadRequestError],
    [401, OpenAI.AuthenticationError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [422, OpenAI.UnprocessableEntityError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
    [503, OpenAI.InternalServerError],
  ])('status %i becomes the SDK exception', async (status, type) => {
    const call = client(`seq=${status}&ecode=my_code&eparam=my_param&emsg=because`).chat.completions.create(ask);
    const error = await call.catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ status, code: 'my_code', param: 'my_param' });
    expect(String(error)).toContain('because');
  });

  test('an error event inside a stream is thrown by the SDK', async () => {
    const stream = await client('n=4&seq=err').chat.completions.create({ ...ask, stream: true });
    await expect(Array.fromAsync(stream)).rejects.toThrow(/error/);
  });

  test('429 tells when to come back', async () => {
    const error: unknown = await client('seq=429&ra=7')
      .chat.completions.create(ask)
      .catch((problem: unknown) => problem);
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('7');
  });
});

describe('faults, byte by byte', () => {
  test.each([
    { verdict: 'ok', has: ['[DONE]', '"finish_reason":"stop"', '\r\n0\r\n\r\n'], lacks: [] },
    { verdict: 'cut', has: ['token '], lacks: ['[DONE]', '\r\n0\r\n\r\n', '"finish_reason":"stop"'] },
    { verdict: 'bad', has: ['chatcmpl-bad', '\r\n0\r\n\r\n'], lacks: ['[DONE]'] },
    { verdict: 'midbad', has: ['chatcmpl-bad', '[DONE]', '\r\n0\r\n\r\n'], lacks: [] },
    { verdict: 'cutjson', has: ['\r\n0\r\n\r\n'], lacks: ['[DONE]'] },
    { verdict: 'nofinish', has: ['[DONE]', '\r\n0\r\n\r\n'], lacks: ['"finish_reason":"'] },
    { verdict: 'nodone', has: ['"finish_reason":"stop"', '\r\n0\r\n\r\n'], lacks: ['[DONE]'] },
    { verdict: 'noend', has: ['[DONE]'], lacks: ['\r\n0\r\n\r\n'] },
    { verdict: 'nochoices', has: ['"choices":[]', '[DONE]'], lacks: ['"delta"'] },
    { verdict: 'err', has: ['data: {"error":{', '\r\n0\r\n\r\n'], lacks: ['[DONE]'] },
    { verdict: 'err200', has: ['200 OK', 'data: {"error":{'], lacks: ['"delta"'] },
    { verdict: 'role-then-err', has: ['"role"', 'data: {"error":{'], lacks: ['token '] },
    { verdict: 'empty', has: ['200 OK', '\r\n0\r\n\r\n'], lacks: ['data:'] },
    { verdict: 'html', has: ['text/html', '<html>'], lacks: ['data:'] },
    { verdict: 'notstream', has: ['application/json', '"chat.completion"'], lacks: ['data:'] },
    { verdict: 'garbage', has: ['SSH-'], lacks: ['HTTP/1.1'] },
    { verdict: 'trickle', has: ['[DONE]', '\r\n0\r\n\r\n'], lacks: [] },
  ])('stream, $verdict', async ({ verdict, has, lacks }) => {
    const { text, error } = await streamed(`n=4&itl=1&seq=${verdict}`);
    expect(error).toBe('');
    for (const part of has) expect(text).toContain(part);
    for (const part of lacks) expect(text).not.toContain(part);
    expect(provider.stats().byVerdict).toEqual({ [verdict]: 1 });
    expect(provider.stats().active).toBe(0);
  });

  test.each(['itl=0', 'itl=3', 'split=5', 'bytewise=1'])('a cut sends exactly cutat tokens (%s)', async (pace) => {
    const { text } = await streamed(`n=8&cutat=3&seq=cut&${pace}`);
    const framing = text.replaceAll(/\r\n[0-9a-f]+\r\n/g, '');
    expect(framing.match(/"content":"token "/g)).toHaveLength(3);
    expect(provider.stats().total).toMatchObject({ completionTokens: 3, streamsCut: 1, streamsFinished: 0 });
  });

  test('reset is a RST, close is a FIN', async () => {
    expect(await streamed('seq=reset')).toEqual({ text: '', error: 'ECONNRESET' });
    expect(await streamed('seq=close')).toEqual({ text: '', error: '' });
    const { text, error } = await streamed('n=4&seq=cutreset');
    expect(error).toBe('ECONNRESET');
    expect(text).toContain('token ');
  });

  test('a plain body is cut short of its content-length', async () => {
    const { text } = await raw([request('seq=cut', ask)]);
    const promised = Number(/content-length: (\d+)/.exec(text)?.[1]);
    expect(text.length - text.indexOf('\r\n\r\n') - 4).toBeLessThan(promised);
  });

  test('headers-only and hang hold the connection until the client leaves', async () => {
    const { text } = await raw([request('seq=headers-only', { ...ask, stream: true })], '"role"');
    expect(text).not.toContain('token ');
    await provider.waitFor((stats) => stats.total.abandoned === 1 && stats.active === 0);
    const { text: nothing } = await raw([request('seq=hang&hang=30', ask)]);
    expect(nothing).toBe('');
  });

  test('chunks of a split event add up to the event', async () => {
    const { text } = await streamed('n=1&split=5');
    expect(text).toMatch(/\r\n5\r\ndata:\r\n[0-9a-f]+\r\n \{"id"/);
  });
});

describe('requests, cut anywhere', () => {
  const body = JSON.stringify({ ...ask, model: 'gpt-4o?n=2' });
  const whole = Buffer.from(request('', { ...ask, model: 'gpt-4o?n=2' }, ''));
  const chunkedHead = 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
  const cutBody = Buffer.from(body);
  const chunked = Buffer.concat([
    Buffer.from(`${chunkedHead}5;ext=1\r\n`),
    cutBody.subarray(0, 5),
    Buffer.from(`\r\n${(cutBody.length - 5).toString(16).toUpperCase()}\r\n`),
    cutBody.subarray(5),
    Buffer.from('\r\n0\r\nX-Trailer: 1\r\n\r\n'),
  ]);

  test.each([
    ['content-length', whole],
    ['chunked', chunked],
  ])('%s: any split into two reads gives the same answer', async (_name, bytes) => {
    const cuts = [...bytes.keys()].slice(1).filter((at) => at % 7 === 0 || at > bytes.length - 12);
    const answers = await Promise.all(
      cuts.map((at) => raw([bytes.subarray(0, at), bytes.subarray(at)], 'fp_mock"}', 3)),
    );
    for (const { text } of answers) expect(text).toContain('"completion_tokens":2,');
    expect(provider.requests().every((one) => one.body.equals(cutBody))).toBe(true);
  });

  test('pipelined requests are answered in order, slow ones too', async () => {
    const models = ['a?n=1&ttft=20', 'b?n=2', 'c?n=3'];
    const bytes = models.map((model) => request('', { ...ask, model }, '')).join('');
    const { text } = await raw([bytes], '"model":"c?n=3"');
    expect([...text.matchAll(/"model":"(.)\?/g)].map((match) => match[1])).toEqual(['a', 'b', 'c']);
  });

  test('100-continue is answered before the body', async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: ${cutBody.length}\r\n\r\n`;
    const { text } = await raw([head, cutBody], 'fp_mock"}', 10);
    expect(text.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK')).toBe(true);
  });

  test('what is not HTTP or JSON gets 400', async () => {
    expect((await raw(['nonsense\r\n\r\n'])).text).toContain('400 Bad Request');
    expect((await raw([request('', ask).replace('{"model"', '["model"')])).text).toContain('400 Bad Request');
  });

  test('a megabyte of body is counted in characters, escaped or not', async () => {
    const content = 'ä"\u{1f642}\n'.repeat(100_000);
    const escaped = JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }).replaceAll('ä', '\\u00e4');
    await client().chat.completions.create({ model: 'm', messages: [{ role: 'user', content }] });
    const head = `POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(escaped)}\r\n\r\n`;
    await raw([head, escaped]);
    expect(provider.stats().total.promptTokens).toBe(2 * 100_000);
  });
});

describe('scripts', () => {
  test('later sources win: configure, path, model, header', async () => {
    provider.configure('n=1');
    const count = async (script: string, model: string, mock?: string): Promise<number | undefined> => {
      const headers = mock === undefined ? {} : { 'x-mock': mock };
      const answer = await client(script).chat.completions.create({ ...ask, model }, { headers });
      return answer.usage?.completion_tokens;
    };
    expect(await count('', 'm')).toBe(1);
    expect(await count('n=2', 'm')).toBe(2);
    expect(await count('n=2', 'm?n=3&ts=1')).toBe(3);
    expect(await count('n=2', 'm?n=3', 'n=4')).toBe(4);
  });

  test('seq goes round per label and model', async () => {
    provider.configure('seq=429,500,ok');
    const status = async (model: string): Promise<number> =>
      (await fetch(`${provider.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ ...ask, model }) }))
        .status;
    const seen: number[] = [];
    for (const model of ['a', 'a', 'b', 'a', 'a']) seen.push(await status(model));
    expect(seen).toEqual([429, 500, 429, 200, 429]);
  });

  test('an unknown key or verdict is told, not ignored', async () => {
    expect(() => provider.configure('seq=oops')).toThrow('unknown verdict: oops');
    expect(() => provider.configure('ttfb=1')).toThrow('unknown key: ttfb');
    await expect(client('nonsense=1').chat.completions.create(ask)).rejects.toThrow('unknown key: nonsense');
  });

  test('a required key', async () => {
    const strict = await startProvider({ requireKey: 'sk-right' });
    const call = (apiKey: string) =>
      new OpenAI({ apiKey, baseURL: `${strict.url}/v1`, maxRetries: 0 }).chat.completions.create(ask);
    await expect(call('sk-wrong')).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(call('sk-right')).resolves.toBeDefined();
    await strict.stop();
  });

  test('extra headers', async () => {
    const { response } = await client('ratelimit=1&setcookie=1').chat.completions.create(ask).withResponse();
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    expect(response.headers.get('x-ratelimit-remaining-tokens')).toBe('1999000');
    expect(response.headers.getSetCookie()).toHaveLength(2);
  });
});

describe('counting', () => {
  test('the same over HTTP, with the names of the Go mock', async () => {
    await client('n=2&up=east').chat.completions.create(ask);
    const get = async (path: string): Promise<unknown> => (await fetch(provider.url + path)).json();
    expect(await get('/_mock/stats')).toMatchObject({
      total: { requests: 1, completion_tokens: 2 },
      verdicts: { ok: 1 },
      by_label_key_model: { 'east|sk-test|gpt-4o': { requests: 1 } },
    });
    expect(await get('/_mock/requests')).toMatchObject([
      { method: 'POST', headers: { authorization: 'Bearer sk-test' } },
    ]);
    await get('/_mock/config?n=5');
    expect((await client().chat.completions.create(ask)).usage?.completion_tokens).toBe(5);
    await get('/_mock/reset');
    expect(provider.stats().total.requests).toBe(0);
  });

  test('a client that leaves is noticed within 100 ms, with what it was sent', async () => {
    const stream = await client('n=1000&itl=5').chat.completions.create({ ...ask, stream: true });
    const iterator = stream[Symbol.asyncIterator]();
    for (let seen = 0; seen < 4; seen++) await iterator.next();
    expect(provider.stats().active).toBe(1);
    const leftAt = performance.timeOrigin + performance.now();
    stream.controller.abort();
    const stats = await provider.waitFor(({ total }) => total.abandoned === 1);
    expect(stats.abandonments[0]?.atMs).toBeLessThan(leftAt + 100);
    expect(stats.abandonments[0]?.tokens).toBe(stats.total.completionTokens);
    expect(stats.active).toBe(0);
  });

  test('a firehose waits for a slow reader instead of buffering', async () => {
    const socket = net.connect({ port: provider.port, host: '127.0.0.1' });
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    socket.pause();
    socket.write(request('firehose=1&n=16000&toksize=4096', { ...ask, stream: true }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const held = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before;
    expect(held).toBeLessThan(32 * 1024 * 1024);
    expect(provider.stats().total.completionTokens).toBe(0);
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.resume();
    await new Promise((resolve) => socket.on('close', resolve));
    expect(bytes).toBeGreaterThan(64_000_000);
    expect(provider.stats().total).toMatchObject({ completionTokens: 16_000, streamsFinished: 1 });
  });
});
