import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { answerJson, answerSse, startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { errorOf } from '../support/journey.ts';
import { parseSse } from '../support/sse.ts';

let provider: HandmadeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startHandmadeProvider();
  const models = { same: {}, here: { upstream: 'there' }, 'modèle-模型-🙂': {}, gap: { upstream: 'näher "am" Rand' } };
  const one = (concurrency: number): object => ({
    base_url: `${provider.url}/v1`,
    api_key: 'sk-upstream',
    models,
    concurrency,
  });
  gateway = await startTestGateway({
    yaml: `providers: ${JSON.stringify({ p: one(8), q: { ...one(8), models: undefined } })}`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

const ANSWER =
  '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"there","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}';
const EVENTS =
  'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"there","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

/** Sends a body as it stands; what the provider got of it. */
async function sent(body: string, answer = answerJson(ANSWER)): Promise<string> {
  provider.answer = answer;
  const before = provider.requests.length;
  const response = await gateway.post('/v1/chat/completions', body);
  await response.arrayBuffer();
  expect(response.status).toBe(200);
  return provider.requests[before]?.body.toString('utf8') ?? '';
}

/** What the client got of a plain answer. */
async function received(answer: string | Buffer, model = 'p/same'): Promise<string> {
  provider.answer = answerJson(answer);
  const response = await gateway.post('/v1/chat/completions', {
    model,
    messages: [{ role: 'user', content: 'hello' }],
  });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer()).toString('utf8');
}

/** What the client got of a stream. */
async function receivedStream(
  pieces: readonly (string | Buffer)[],
  model = 'p/same',
  more: object = {},
): Promise<string> {
  provider.answer = answerSse(...pieces);
  const response = await gateway.post('/v1/chat/completions', {
    model,
    stream: true,
    messages: [{ role: 'user', content: 'hello' }],
    ...more,
  });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer()).toString('utf8');
}

describe('the provider gets the request as it was sent', () => {
  const ODD =
    '"seed":9223372036854775807,"x":{"z":18446744073709551615,"a":[-9007199254740993,1.0,0.10,1e2,-0.0],"":null},"logit_bias":{"50256":-100}';
  const TEXT = String.raw`"messages":[{"role":"user","content":"é\u00e9 \ud83d\ude42 🙂 \/ \" \\ \u2028 \"model\": \"x\" {}[]"}]`;

  test.each([
    ['64-bit integers, unknown fields and key order', `{${ODD},"model":"M",${TEXT},"temperature":0.70}`],
    [
      'whitespace',
      `\n{\n  "messages" : [ { "role" : "user" ,\t"content" : "hi" } ] ,\r\n  "model"\t:\t"M"  ,\n ${ODD}\n}\n\n`,
    ],
    [
      'a key that only looks like the model',
      `{"metadata":{"model":"M2"},"messages":[{"role":"user","content":"hi","model":"M3"}],"model":"M"}`,
    ],
    ['the model named by the last key', `{${TEXT},"a":{"b":{"c":[{"d":"}]"}]}},"model":"M"}`],
    ['a duplicate key that is not the gateway’s concern', `{"model":"M","user":"a","user":"b",${TEXT}}`],
  ])('%s stay', async (_what, template) => {
    expect(await sent(template.replace('"M"', '"p/here"'))).toBe(template.replace('"M"', '"there"'));
  });

  test('a body of several parts stays whole', async () => {
    const content = Array.from({ length: 120_000 }, (_, at) => `${at} é🙂`).join(' ');
    const template = JSON.stringify({ messages: [{ role: 'user', content }], model: 'M', n: 1 });
    expect(template.length).toBeGreaterThan(1_000_000);
    expect((await sent(template.replace('"M"', '"p/here"'))) === template.replace('"M"', '"there"')).toBe(true);
  });

  test('a model name of any characters is the provider’s own', async () => {
    const template = `{"model":"M",${TEXT}}`;
    expect(await sent(template.replace('M', 'p/modèle-模型-🙂'))).toBe(template.replace('M', 'modèle-模型-🙂'));
  });

  test('a model name written with escapes is understood', async () => {
    expect(await sent(String.raw`{"mod\u0065l":"p\/h\u0065re",${TEXT}}`)).toBe(
      String.raw`{"mod\u0065l":"there",${TEXT}}`,
    );
  });

  test('an upstream name with quotes is written as JSON', async () => {
    expect(JSON.parse(await sent(`{"model":"p/gap",${TEXT}}`))).toHaveProperty('model', 'näher "am" Rand');
  });

  test.each([true, false])(
    'a model name that no header can hold is served all the same (stream: %s)',
    async (stream) => {
      const model = 'q/modèle-模型-🙂';
      provider.answer = stream ? answerSse(EVENTS) : answerJson(ANSWER);
      const response = await gateway.post('/v1/chat/completions', {
        model,
        stream,
        messages: [{ role: 'user', content: 'hi' }],
      });
      expect(response.status).toBe(200);
      expect(decodeURIComponent(response.headers.get('x-sluice-deployment') ?? '')).toBe(model);
      expect(await response.text()).toContain(`"model":"${model}"`);
    },
  );

  test.each([String.raw`q/line\nbreak`, String.raw`q/\u0000`, String.raw`q/\ud83d`])(
    'a model name with what no ledger can hold (%s) is refused',
    async (name) => {
      const response = await gateway.post('/v1/chat/completions', `{"model":"${name}",${TEXT}}`);
      expect({ status: response.status, param: (await errorOf(response)).param }).toEqual({
        status: 400,
        param: 'model',
      });
    },
  );

  test.each(['"model"', String.raw`"mod\u0065l"`])('a second model (%s) is refused', async (key) => {
    const response = await gateway.post('/v1/chat/completions', `{"model":"p/same",${key}:"p/here",${TEXT}}`);
    expect({ status: response.status, param: (await errorOf(response)).param }).toEqual({
      status: 400,
      param: 'model',
    });
  });

  test.each([
    [
      'added',
      `{"model":"M","stream":true,${TEXT}}`,
      `{"stream_options":{"include_usage":true},"model":"M","stream":true,${TEXT}}`,
    ],
    [
      'added behind leading space',
      `  {  "model":"M","stream":true,${TEXT}}`,
      `  {"stream_options":{"include_usage":true},  "model":"M","stream":true,${TEXT}}`,
    ],
    [
      'turned on',
      `{"stream_options":{"include_usage":false},"model":"M","stream":true,${TEXT}}`,
      `{"stream_options":{"include_usage":true},"model":"M","stream":true,${TEXT}}`,
    ],
    [
      'put in place of null',
      `{"model":"M","stream":true,${TEXT},"stream_options":null}`,
      `{"model":"M","stream":true,${TEXT},"stream_options":{"include_usage":true}}`,
    ],
    [
      'left as they are',
      `{"model":"M","stream_options":{ "include_usage" : true },"stream":true,${TEXT}}`,
      `{"model":"M","stream_options":{ "include_usage" : true },"stream":true,${TEXT}}`,
    ],
  ])('stream options are %s', async (_what, from, to) => {
    expect(await sent(from.replace('"M"', '"p/here"'), answerSse(EVENTS))).toBe(to.replace('"M"', '"there"'));
  });

  test('other stream options stay', async () => {
    const body = await sent(
      `{"model":"p/same","stream":true,"stream_options":{"include_obfuscation":false},${TEXT}}`,
      answerSse(EVENTS),
    );
    expect((JSON.parse(body) as { stream_options: object }).stream_options).toEqual({
      include_obfuscation: false,
      include_usage: true,
    });
  });
});

describe('the client gets the answer as it was sent', () => {
  const ODD =
    '"x_trace":9223372036854775807,"x":{"z":18446744073709551615,"a":[-9007199254740993,1.0,0.10,1e2],"":null}';

  test('a plain answer stays, byte for byte, but for the model', async () => {
    const template = ` {\n "usage" : {"prompt_tokens":1,"completion_tokens":1},${ODD}, "choices":[{"finish_reason":"stop","message":{"content":"\u2028\u0085 é🙂 \\u2028 \\"model\\":\\"M\\"","role":"assistant"},"index":0}], "model" : "M" , "id":"1" }\r\n`;
    expect(await received(template)).toBe(template.replace('"model" : "M"', '"model" : "p/same"'));
  });

  test('an answer that names no model stays without one', async () => {
    const answer = ANSWER.replace('"model":"there",', '');
    expect(await received(answer)).toBe(answer);
  });

  test('a stream stays, byte for byte, but for the model', async () => {
    const template = `: comment\n\nevent: message\nid: 7\nretry: 5\ndata: {${ODD},"choices":[{"delta":{"content":"\u2028\u0085é🙂 \\"model\\":\\"M\\""},"finish_reason":"stop","index":0}], "model" : "M" ,"id":"1"}\n\ndata: [DONE]\n\n`;
    expect(await receivedStream([template])).toBe(template.replace('"model" : "M"', '"model" : "p/same"'));
  });

  test('an event whose keys move is read where its model stands', async () => {
    const event = (json: string): string => `data: {${json}}\n\n`;
    const delta = '"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]';
    const end = '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]';
    const stream = (model: string): string =>
      [
        event(`"id":"1","model":${model},${delta}`),
        event(`${delta},"model":${model},"id":"1"`),
        event(`"id":"12","model":${model},${end}`),
      ].join('') + 'data: [DONE]\n\n';
    expect(await receivedStream([stream('"there"')])).toBe(stream('"p/same"'));
  });

  test('an event of several data lines says the same', async () => {
    const stream =
      'data: {"id":"1",\ndata: "model":"there","usage":null,\ndata:"choices":[{"index":0,"delta":{"content":"a"},\ndata: "finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
    const { chunks, isDone } = parseSse(await receivedStream([stream]));
    expect({ chunks, isDone }).toEqual({
      chunks: [{ id: '1', model: 'p/same', choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] }],
      isDone: true,
    });
  });

  test.each([
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ])('lines may end with %s', async (_what, newline) => {
    const stream = `: hi${newline}${newline}${EVENTS.replaceAll('\n', newline)}`;
    // A CR may be half of a CRLF: only what follows can tell.
    expect(await receivedStream([stream, ': bye'])).toBe(stream.replace('"there"', '"p/same"'));
  });

  test('a character cut in two arrives whole', async () => {
    const stream = Buffer.from(EVENTS.replace('hi', 'é🙂模'));
    const cut = stream.indexOf(Buffer.from('🙂')) + 2;
    expect(await receivedStream([stream.subarray(0, cut), stream.subarray(cut)])).toBe(
      EVENTS.replace('hi', 'é🙂模').replace('"there"', '"p/same"'),
    );
  });

  test.each([
    ['a plain answer', false],
    ['a stream', true],
  ])('%s that names its model twice is malformed, not the gateway’s own fault', async (_what, stream) => {
    const twice = '"model":"there","model":"there",';
    provider.answer = stream
      ? answerSse(EVENTS.replace('"model":"there",', twice))
      : answerJson(ANSWER.replace('"model":"there",', twice));
    const response = await gateway.post('/v1/chat/completions', {
      model: 'p/same',
      stream,
      messages: [{ role: 'user', content: 'hello' }],
    });
    expect({ status: response.status, code: (await errorOf(response)).code }).toEqual({
      status: 502,
      code: 'upstream_malformed',
    });
  });
});
