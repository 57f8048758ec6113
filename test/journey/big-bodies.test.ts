import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PART_BYTES } from '../../services/ingress/uploads.ts';
import { Deployment } from '../support/deployment.ts';
import { freshDatabase, freshNats } from '../support/fresh.ts';
import type { TestDatabase } from '../support/fresh.ts';
import { startTestGateway, TEST_KEY } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { chunkOf, RawConnection, rawRequest, requestBytes } from '../support/raw-http.ts';
import type { TestNats } from '../support/servers.ts';

const MIB = 1024 * 1024;
/** As `startTestGateway` configures it. */
const BODY_LIMIT = 32 * MIB;
const CHAT = '/v1/chat/completions';

let provider: ScriptedProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2', record: 12 });
  gateway = await startTestGateway({
    log: 'silent',
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { gpt-mock: { upstream: gpt-of-the-provider }, same: {} }, concurrency: 32 } }`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A chat request with a base64 image of random bytes, `bytes` long in all. */
function withImage(bytes: number, model = 'same', more = ''): Buffer {
  const start = `{"model":"${model}"${more},"messages":[{"role":"user","content":[{"type":"text","text":"what is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,`;
  const end = '"}}]}]}';
  const room = bytes - start.length - end.length;
  const image = randomBytes(Math.ceil((room * 3) / 4)).toString('base64');
  const body = Buffer.from(start + image.slice(0, room) + end);
  expect(body.length).toBe(bytes);
  return body;
}

const post = (body: Uint8Array, init: RequestInit = {}): Promise<Response> =>
  gateway.post(CHAT, undefined, { body: body as Uint8Array<ArrayBuffer>, ...init });

const lastBody = (): Buffer => provider.requests().at(-1)?.body ?? Buffer.alloc(0);

describe('a body reaches the provider byte for byte', () => {
  test.each([
    { bytes: 20 * MIB, why: '20 MiB' },
    { bytes: PART_BYTES - 1, why: 'one byte below a part' },
    { bytes: PART_BYTES, why: 'a part' },
    { bytes: PART_BYTES + 1, why: 'one byte above a part' },
    { bytes: 2 * PART_BYTES, why: 'two parts' },
    { bytes: 2 * PART_BYTES + 1, why: 'two parts and a byte' },
    { bytes: 5 * PART_BYTES, why: 'more parts than are on the way at once' },
    { bytes: BODY_LIMIT, why: 'exactly at the limit' },
  ])('$why', async ({ bytes }) => {
    const body = withImage(bytes);
    const response = await post(body);
    expect(await response.text()).toContain('"choices"');
    expect(sha256(lastBody())).toBe(sha256(body));
  });

  test('but for its model’s name and the options of its stream', async () => {
    const body = withImage(3 * PART_BYTES + 7, 'gpt-mock', ',"stream":true');
    const response = await post(body);
    expect(await response.text()).toMatch(/\[DONE\]\n\n$/);
    const expected = body
      .toString()
      .replace('"gpt-mock"', '"gpt-of-the-provider"')
      .replace('{', '{"stream_options":{"include_usage":true},');
    expect(sha256(lastBody())).toBe(sha256(Buffer.from(expected)));
  });

  test('also when what must be changed stands in its last part', async () => {
    const image = withImage(2 * PART_BYTES).toString();
    const body = `${image.slice(0, -1).replace('"model":"same",', '')},"stream":true,"stream_options":{"x":1},"model":"gpt-mock"}`;
    const response = await post(Buffer.from(body));
    expect(await response.text()).toMatch(/\[DONE\]\n\n$/);
    const expected = body
      .replace('"model":"gpt-mock"', '"model":"gpt-of-the-provider"')
      .replace('{"x":1}', '{"x":1,"include_usage":true}');
    expect(sha256(lastBody())).toBe(sha256(Buffer.from(expected)));
  });

  test('in chunks of odd sizes from a client that does not know its length', async () => {
    const body = withImage(700_001);
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' };
    await connection.write(requestBytes(`POST ${CHAT}`, { ...headers, 'transfer-encoding': 'chunked' }));
    for (let from = 0, size = 1; from < body.length; from += size, size = (size * 3) % 65_537) {
      await connection.write(chunkOf(body.subarray(from, from + size)));
    }
    await connection.write('0\r\n\r\n');
    expect((await connection.read()).status).toBe(200);
    connection.destroy();
    expect(sha256(lastBody())).toBe(sha256(body));
  });
});

describe('a body above the limit', () => {
  test('by one byte is refused, and the client reads why', async () => {
    const before = provider.stats().total.requests;
    await expectOpenAiError(await post(withImage(BODY_LIMIT + 1)), 'request_too_large');
    expect(provider.stats().total.requests).toBe(before);
  });

  test('is refused by what it announces, before it is sent; the connection ends', async () => {
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' };
    await connection.write(requestBytes(`POST ${CHAT}`, { ...headers, 'content-length': String(BODY_LIMIT + 1) }));
    const answer = await connection.read();
    await expectOpenAiError(answer, 'request_too_large');
    expect(answer.headers['connection']).toBe('close');
    await connection.closed;
    connection.destroy();
  });

  test('that comes in chunks is refused where it passes the limit; the connection ends', async () => {
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' };
    await connection.write(requestBytes(`POST ${CHAT}`, { ...headers, 'transfer-encoding': 'chunked' }));
    const chunk = chunkOf(Buffer.alloc(MIB, ' '));
    for (let sent = 0; sent <= BODY_LIMIT; sent += MIB) await connection.write(chunk);
    await expectOpenAiError(await connection.read(), 'request_too_large');
    await connection.closed;
    connection.destroy();
  });
});

describe('ten bodies of 20 MiB at once', () => {
  const inFlight = 10 * 20 * MIB;
  let nats: TestNats;
  let database: TestDatabase;
  let deployment: Deployment;

  beforeAll(async () => {
    [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
    deployment = await Deployment.start({
      yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { same: {} } } }`,
      natsUrl: nats.url,
      databaseUrl: database.url,
      instances: 1,
    });
  });

  afterAll(async () => {
    await deployment.stop();
    await nats.stop();
    await database.drop();
  });

  const send = async (body: Buffer): Promise<number> => {
    const { url } = deployment.one('ingress');
    const headers = { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' };
    const bytes = requestBytes(`POST ${CHAT}`, headers, body);
    return (await rawRequest(url, bytes, { timeoutMs: 50_000 })).status;
  };

  test('all pass, small requests go on beside them, and the gateway holds them three times at most', async () => {
    const body = withImage(20 * MIB);
    const expected = sha256(body);
    const small = Buffer.from('{"model":"same","messages":[{"role":"user","content":"hello"}]}');
    for (let i = 0; i < 20; i++) await send(small);
    const services = [deployment.one('ingress'), deployment.one('worker')];
    const before = await Promise.all(services.map(({ pid }) => peakBytes(pid)));
    let isOver = false;
    const big = Promise.all(Array.from({ length: 10 }, () => send(body))).finally(() => (isOver = true));
    const delays: number[] = [];
    while (!isOver) {
      const sentAt = performance.now();
      expect(await send(small)).toBe(200);
      delays.push(performance.now() - sentAt);
    }
    expect(await big).toEqual(Array(10).fill(200));
    const received = provider.requests().filter(({ body: { length } }) => length === body.length);
    expect(received.length).toBeGreaterThan(0);
    expect(new Set(received.map(({ body: bytes }) => sha256(bytes)))).toEqual(new Set([expected]));
    expect(delays.length).toBeGreaterThan(3);
    expect(Math.max(...delays)).toBeLessThan(3_000);
    const after = await Promise.all(services.map(({ pid }) => peakBytes(pid)));
    const grown = after.map((bytes, i) => (bytes - (before[i] ?? 0)) / inFlight);
    // Each service by itself: its own copy, what the socket holds, and for the ingress the text that JSON.parse reads.
    for (const times of grown) expect(times).toBeLessThan(3);
  }, 60_000);
});

/** The most memory that a process ever held. */
async function peakBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

describe('a client that leaves in the middle of', () => {
  const idle = async (): Promise<void> => {
    const text = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text();
    const isIdle = (metrics: string): boolean =>
      /^sluice_requests_in_flight 0$/m.test(metrics) && /^sluice_worker_in_flight\{pool="mock"\} 0$/m.test(metrics);
    const givesUpAt = performance.now() + 5_000;
    while (!isIdle(await text())) expect(performance.now()).toBeLessThan(givesUpAt);
  };

  test('sending its body leaves nothing behind', async () => {
    const before = provider.stats().total.requests;
    const body = withImage(8 * MIB);
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' };
    await connection.write(requestBytes(`POST ${CHAT}`, { ...headers, 'content-length': String(body.length) }));
    await connection.write(body.subarray(0, 4 * MIB));
    connection.destroy();
    await idle();
    expect(provider.stats().total.requests).toBe(before);
  });

  test('the upload to the worker frees its slot at every point of it', async () => {
    const body = withImage(24 * MIB);
    for (const afterMs of [0, 5, 10, 20, 40]) {
      const abort = new AbortController();
      const answer = post(body, { signal: abort.signal }).then(
        (response) => response.text(),
        () => 'aborted',
      );
      // The whole body is at the ingress once a request is in flight; where it stands then is left to chance.
      while (!/^sluice_requests_in_flight 1$/m.test(await (await fetch(`${gateway.url}/metrics`)).text())) continue;
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      abort.abort();
      await answer;
      await idle();
    }
    // Every slot of the pool is there still.
    const statuses = await Promise.all(
      Array.from({ length: 40 }, () =>
        post(withImage(PART_BYTES + 100)).then(async (response) => (await response.text(), response.status)),
      ),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
