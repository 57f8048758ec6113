import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway, TEST_KEY } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { chunkOf, RawConnection, rawRequest, requestBytes } from '../support/raw-http.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  gateway = await startTestGateway({
    log: 'fatal',
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { gpt-mock: {}, org/gpt-mock: {}, a+b: {} } } }
routes: { cheap: { targets: [mock/gpt-mock] } }`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

const CHAT = '/v1/chat/completions';
const key = { authorization: `Bearer ${TEST_KEY}` };
const json = { ...key, 'content-type': 'application/json' };
const chat = (script = '', more: object = {}): string =>
  JSON.stringify({ model: 'mock/gpt-mock', messages: [{ role: 'user', content: 'hello' }], ...more, user: script });
const post = (body: string | Uint8Array, headers: Record<string, string> = {}): Buffer =>
  requestBytes(`POST ${CHAT}`, { ...json, ...headers }, body);

async function served(connection: RawConnection): Promise<void> {
  void connection.write(post(chat()));
  expect((await connection.read()).status).toBe(200);
}

describe('what is no route', () => {
  test.each([
    'GET /',
    'GET /v1',
    'POST /v1/chat',
    'POST /v1/chat/completions/more',
    'POST /chat/completions',
    'PUT /v2/anything',
    'DELETE /favicon.ico',
    'GET /V1/MODELS',
    'GET /%2e%2e/etc/passwd',
    'GET /__proto__',
  ])('%s is unknown', async (line) => {
    const error = await expectOpenAiError(await rawRequest(gateway.url, requestBytes(line, json)), 'unknown_url');
    expect(error.message).toContain(line.split(' ')[0]);
  });

  test.each([
    { line: 'GET /v1/chat/completions', allow: 'POST' },
    { line: 'GET /v1/chat/completions?stream=true', allow: 'POST' },
    { line: 'OPTIONS /v1/chat/completions', allow: 'POST' },
    { line: 'DELETE /v1/embeddings', allow: 'POST' },
    { line: 'POST /v1/models', allow: 'GET, HEAD' },
    { line: 'PUT /v1/models/mock/gpt-mock', allow: 'GET, HEAD' },
    { line: 'POST /health/live', allow: 'GET, HEAD' },
    { line: 'PATCH /metrics', allow: 'GET, HEAD' },
  ])('$line is not allowed, $allow is', async ({ line, allow }) => {
    const answer = await rawRequest(gateway.url, requestBytes(line, json));
    await expectOpenAiError(answer, 'method_not_allowed');
    expect(answer.headers['allow']).toBe(allow);
  });

  test.each(['TRACE', 'PROPFIND', 'QUERY', 'PURGE'])('the method %s is answered too', async (method) => {
    await expectOpenAiError(
      await rawRequest(gateway.url, requestBytes(`${method} ${CHAT}`, json)),
      'method_not_allowed',
    );
    await expectOpenAiError(await rawRequest(gateway.url, requestBytes(`${method} /nowhere`, json)), 'unknown_url');
  });

  test('a HEAD has the headers of the error and no body', async () => {
    const connection = await RawConnection.open(gateway.url);
    void connection.write(requestBytes(`HEAD ${CHAT}`, json));
    const answer = await connection.read({ isHead: true });
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'POST', 'x-should-retry': 'false' } });
    await served(connection);
    connection.destroy();
  });

  test.each(['/v1/models/%', '/v1/models/%E0%A4%A', '/%zz'])('the malformed %s', async (path) => {
    await expectOpenAiError(await rawRequest(gateway.url, requestBytes(`GET ${path}`, json)), 'invalid_request');
  });

  test('a path of 9,000 characters', async () => {
    await expectOpenAiError(
      await rawRequest(gateway.url, requestBytes(`GET /${'x'.repeat(9_000)}`, json)),
      'unknown_url',
    );
  });
});

describe('a body that is not announced as JSON', () => {
  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'json',
    '/',
    'application/jsonl',
  ])('content-type %s', async (type) => {
    const answer = await rawRequest(gateway.url, post(chat(), { 'content-type': type }));
    await expectOpenAiError(answer, 'unsupported_media_type');
  });

  test('no content-type', async () => {
    const answer = await rawRequest(gateway.url, requestBytes(`POST ${CHAT}`, key, chat()));
    await expectOpenAiError(answer, 'unsupported_media_type');
  });

  test('neither content-type nor body', async () => {
    await expectOpenAiError(await rawRequest(gateway.url, requestBytes(`POST ${CHAT}`, key)), 'invalid_json');
  });

  test.each(['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON;charset=UTF-8'])(
    'content-type %s is JSON',
    async (type) => {
      expect((await rawRequest(gateway.url, post(chat(), { 'content-type': type }))).status).toBe(200);
    },
  );
});

describe('what is hardly HTTP', () => {
  test.each([
    { why: 'no HTTP at all', bytes: 'hello\r\n\r\n' },
    { why: 'TLS', bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' },
    { why: 'a version that is none', bytes: `POST ${CHAT} HTTP/9.9\r\nhost: x\r\n\r\n` },
    { why: 'a header without a colon', bytes: `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nnonsense\r\n\r\n` },
    {
      why: 'a content-length that is no number',
      bytes: requestBytes(`POST ${CHAT}`, { ...json, 'content-length': 'many' }),
    },
    { why: 'a negative content-length', bytes: requestBytes(`POST ${CHAT}`, { ...json, 'content-length': '-1' }) },
    {
      why: 'content-length and chunks at once',
      bytes: requestBytes(
        `POST ${CHAT}`,
        { ...json, 'content-length': '3', 'transfer-encoding': 'chunked' },
        '0\r\n\r\n',
      ),
    },
    {
      why: 'a chunk size that is none',
      bytes: requestBytes(`POST ${CHAT}`, { ...json, 'transfer-encoding': 'chunked' }, 'zz\r\n{}\r\n0\r\n\r\n'),
    },
  ])('$why is answered with 400 and the end of the connection', async ({ bytes }) => {
    const connection = await RawConnection.open(gateway.url);
    void connection.write(bytes);
    await expectOpenAiError(await connection.read(), 'invalid_request');
    await connection.closed;
    connection.destroy();
  });

  test.each([
    { why: 'one header of 20 KB', headers: { 'x-large': 'x'.repeat(20_000) } },
    {
      why: '1,000 headers',
      headers: Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`x-${i}`, 'y'.repeat(20)])),
    },
    { why: 'a key of 20 KB', headers: { authorization: `Bearer ${'k'.repeat(20_000)}` } },
  ])('$why: the headers are too large', async ({ headers }) => {
    const connection = await RawConnection.open(gateway.url);
    void connection.write(requestBytes(`POST ${CHAT}`, { ...json, ...headers }, chat()));
    await expectOpenAiError(await connection.read(), 'headers_too_large');
    await connection.closed;
    connection.destroy();
  });

  test('100 headers of the caller’s own are no trouble, and stay here', async () => {
    const headers = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-own-${i}`, 'y']));
    expect((await rawRequest(gateway.url, post(chat(), headers))).status).toBe(200);
    expect(Object.keys(provider.requests().at(-1)?.headers ?? {}).filter((name) => name.startsWith('x-own'))).toEqual(
      [],
    );
  });

  test('garbage after a request whose stream goes on never stands in the stream', async () => {
    const connection = await RawConnection.open(gateway.url);
    provider.configure('n=1000000&itl=20');
    void connection.write(post(chat('', { stream: true })));
    await connection.until((received) => received.includes('token'));
    void connection.write('garbage\r\n\r\n');
    await connection.closed;
    provider.configure('');
    expect(await connection.until(() => true)).not.toContain('HTTP/1.1 400');
    await provider.waitFor(({ active }) => active === 0);
    connection.destroy();
  });

  test('a body shorter than its content-length, then the end of the connection, harms nobody', async () => {
    const before = provider.stats().total.requests;
    const connection = await RawConnection.open(gateway.url);
    await connection.write(post(chat(), { 'content-length': '5000' }));
    connection.socket.end();
    await connection.closed;
    connection.destroy();
    expect(provider.stats().total.requests).toBe(before);
  });
});

describe('connections', () => {
  test('requests that come at once on one connection are answered in their order', async () => {
    const connection = await RawConnection.open(gateway.url);
    const chats = ['gpt-mock', 'nobody/none', 'cheap', 'org/gpt-mock'].map((model, i) =>
      post(chat('', { model }), { 'x-n': String(i) }),
    );
    // The first is the last to be ready.
    provider.configure('n=2&seq=slow,ok&slow=100');
    void connection.write(Buffer.concat([...chats, requestBytes('GET /health/live')]));
    const answers = [];
    for (let i = 0; i < 5; i++) answers.push(await connection.read());
    provider.configure('');
    connection.destroy();
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 200, 200, 200]);
    expect(answers.map(({ headers }) => headers['x-sluice-deployment'])).toEqual([
      'mock/gpt-mock',
      undefined,
      'mock/gpt-mock',
      'mock/org/gpt-mock',
      undefined,
    ]);
    expect(answers[4]?.body).toBe('{"status":"live"}');
  });

  test('one connection serves many requests, errors among them', async () => {
    const connection = await RawConnection.open(gateway.url);
    for (let i = 0; i < 3; i++) {
      void connection.write(post('{'));
      await expectOpenAiError(await connection.read(), 'invalid_json');
      void connection.write(requestBytes(`POST ${CHAT}`, { 'content-type': 'application/json' }, chat()));
      await expectOpenAiError(await connection.read(), 'invalid_api_key');
      await served(connection);
      void connection.write(post(chat('', { stream: true })));
      expect((await connection.read()).body).toMatch(/\[DONE\]\n\n$/);
    }
    connection.destroy();
  });

  test('`connection: close` is obeyed', async () => {
    for (const stream of [false, true]) {
      const connection = await RawConnection.open(gateway.url);
      void connection.write(post(chat('', { stream }), { connection: 'close' }));
      const answer = await connection.read();
      expect(answer).toMatchObject({ status: 200, headers: { connection: 'close' } });
      await connection.closed;
      connection.destroy();
    }
  });

  test('HTTP/1.0 gets its answer and the end of the connection', async () => {
    const body = chat();
    const connection = await RawConnection.open(gateway.url);
    const head = `POST ${CHAT} HTTP/1.0\r\nauthorization: ${key.authorization}\r\ncontent-type: application/json\r\n`;
    void connection.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
    expect((await connection.read()).status).toBe(200);
    await connection.closed;
    connection.destroy();
  });

  test('`expect: 100-continue` is answered before the body is sent', async () => {
    const connection = await RawConnection.open(gateway.url);
    const body = chat();
    void connection.write(
      requestBytes(`POST ${CHAT}`, { ...json, expect: '100-continue', 'content-length': String(body.length) }),
    );
    expect((await connection.read()).status).toBe(100);
    void connection.write(body);
    expect((await connection.read()).status).toBe(200);
    connection.destroy();
  });

  test('a body that comes byte by byte, or in chunks of one, is a body', async () => {
    const connection = await RawConnection.open(gateway.url);
    const body = Buffer.from(chat());
    await connection.write(requestBytes(`POST ${CHAT}`, { ...json, 'content-length': String(body.length) }));
    for (const byte of body) await connection.write(Buffer.of(byte));
    expect((await connection.read()).status).toBe(200);
    await connection.write(requestBytes(`POST ${CHAT}`, { ...json, 'transfer-encoding': 'chunked' }));
    for (const byte of body) await connection.write(chunkOf(Buffer.of(byte)));
    await connection.write('0\r\n\r\n');
    expect((await connection.read()).status).toBe(200);
    connection.destroy();
  });

  test('who wants a websocket gets an answer in HTTP', async () => {
    const headers = { ...json, connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
    await expectOpenAiError(await rawRequest(gateway.url, requestBytes('GET /v1/realtime', headers)), 'unknown_url');
  });
});

describe('models', () => {
  const get = (path: string, headers: Record<string, string> = key): Promise<Response> =>
    fetch(`${gateway.url}${path}`, { headers });

  test('the list has routes first, then every model of every provider', async () => {
    const response = await get('/v1/models');
    expect(await response.json()).toEqual({
      object: 'list',
      data: [
        { id: 'cheap', object: 'model', created: 0, owned_by: 'sluice' },
        { id: 'mock/gpt-mock', object: 'model', created: 0, owned_by: 'mock' },
        { id: 'mock/org/gpt-mock', object: 'model', created: 0, owned_by: 'mock' },
        { id: 'mock/a+b', object: 'model', created: 0, owned_by: 'mock' },
      ],
    });
  });

  test.each([
    { path: '/v1/models/cheap', id: 'cheap' },
    { path: '/v1/models/gpt-mock', id: 'gpt-mock' },
    { path: '/v1/models/mock/gpt-mock', id: 'mock/gpt-mock' },
    { path: '/v1/models/mock%2Fgpt-mock', id: 'mock/gpt-mock' },
    { path: '/v1/models/mock/org/gpt-mock', id: 'mock/org/gpt-mock' },
    { path: '/v1/models/mock%2Forg%2Fgpt-mock', id: 'mock/org/gpt-mock' },
    { path: '/v1/models/mock/a%2Bb', id: 'mock/a+b' },
    { path: '/v1/models/cheap?x=1', id: 'cheap' },
  ])('$path is $id', async ({ path, id }) => {
    expect(await (await get(path)).json()).toMatchObject({ id, object: 'model' });
  });

  test.each([
    '/v1/models/none',
    '/v1/models/mock/none',
    '/v1/models/mock/',
    '/v1/models/nobody/gpt-mock',
    `/v1/models/${'x'.repeat(2_000)}`,
  ])('%s does not exist', async (path) => {
    await expectOpenAiError(await get(path), 'model_not_found', 'model');
  });

  test('both want a key', async () => {
    await expectOpenAiError(await get('/v1/models', {}), 'invalid_api_key');
    await expectOpenAiError(await get('/v1/models/cheap', { authorization: 'Bearer other' }), 'invalid_api_key');
  });

  test('a HEAD has no body, and the connection goes on', async () => {
    const connection = await RawConnection.open(gateway.url);
    void connection.write(requestBytes('HEAD /v1/models', key));
    expect(await connection.read({ isHead: true })).toMatchObject({ status: 200, body: '' });
    await served(connection);
    connection.destroy();
  });
});

describe('for those who watch the gateway', () => {
  test('/health/live and /health/ready want no key', async () => {
    expect(await (await fetch(`${gateway.url}/health/live`)).json()).toEqual({ status: 'live' });
    const ready = (await (await fetch(`${gateway.url}/health/ready`)).json()) as { status: string; checks: object };
    expect(ready.status).toBe('ready');
    expect(Object.keys(ready.checks).sort()).toEqual(['ledger', 'nats', 'postgres', 'redis', 'router', 'workers']);
  });

  test('/metrics speaks of requests in the words of the GenAI conventions, and of nobody’s key or text', async () => {
    await gateway.post(CHAT, chat('secret-of-the-user'));
    await gateway.post(CHAT, chat('', { stream: true })).then((response) => response.text());
    const response = await fetch(`${gateway.url}/metrics`);
    const text = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    for (const name of [
      'gen_ai_client_operation_duration_seconds',
      'gen_ai_client_operation_time_to_first_chunk_seconds',
      'gen_ai_client_token_usage',
      'sluice_requests_total',
      'sluice_requests_in_flight',
      'sluice_router_placed_total',
    ]) {
      expect(text).toContain(`# TYPE ${name} `);
    }
    expect(text).toMatch(/gen_ai_client_token_usage_count\{[^}]*gen_ai_token_type="output"[^}]*\} [1-9]/);
    expect(text).toMatch(/gen_ai_provider_name="mock"/);
    for (const secret of [TEST_KEY, 'testers', 'hello', 'secret-of-the-user', 'sk-'])
      expect(text).not.toContain(secret);
  });
});
