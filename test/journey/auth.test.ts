import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { createKey, revokeKey } from '../../services/ledger/principals/keys.ts';
import { announceRules, inOneRevision } from '../../services/ledger/rules/revision.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import { startTestGateway, TEST_KEY, testSecret } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { chunkOf, RawConnection, requestBytes } from '../support/raw-http.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;
let database: Database;
let bus: Bus;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  gateway = await startTestGateway({
    log: 'silent',
    yaml: `providers: { mock: { base_url: "${provider.url}/v1", models: { gpt-mock: {} } } }`,
  });
  const log = createLog('silent', 'test');
  database = openDatabase({ url: gateway.databaseUrl, log });
  bus = await Bus.connect({ url: gateway.nats.url, name: 'test', log });
});

afterAll(async () => {
  await database.destroy();
  await bus.close();
  await gateway.stop();
  await provider.stop();
});

const CHAT = '/v1/chat/completions';
const chat = JSON.stringify({ model: 'gpt-mock', messages: [{ role: 'user', content: 'hello' }] });

function ask(headers: Record<string, string>, path = CHAT): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    body: chat,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

async function statusOf(token: string): Promise<number> {
  const response = await ask({ authorization: `Bearer ${token}` });
  await response.text();
  return response.status;
}

describe('a key is taken', () => {
  test.each([
    { authorization: `Bearer ${TEST_KEY}` },
    { authorization: `bearer ${TEST_KEY}` },
    { authorization: `BEARER   ${TEST_KEY}` },
    { 'x-api-key': TEST_KEY },
    { 'api-key': TEST_KEY },
    { authorization: 'Basic dXNlcjpwYXNz', 'x-api-key': TEST_KEY },
  ])('%j', async (headers) => {
    const response = await ask(headers);
    expect(response.status).toBe(200);
    await response.text();
  });
});

describe('a request is refused', () => {
  test.each([
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: TEST_KEY },
    { authorization: `Basic ${TEST_KEY}` },
    { 'x-api-key': '' },
  ])('without a key: %j', async (headers) => {
    const { message } = await expectOpenAiError(await ask(headers), 'invalid_api_key');
    expect(message).toContain('Authorization: Bearer');
  });

  test.each([
    { authorization: 'Bearer sk-unknown' },
    { authorization: `Bearer ${TEST_KEY}x` },
    { authorization: `Bearer ${TEST_KEY.slice(0, -1)}` },
    { authorization: `Bearer ${TEST_KEY.toUpperCase()}` },
    { authorization: `Bearer ${'k'.repeat(5_000)}` },
    { authorization: 'Bearer sk-unknown', 'x-api-key': TEST_KEY },
    { 'x-api-key': "' or 1=1 --" },
  ])('with a key that is none: %j', async (headers) => {
    const response = await ask(headers);
    const { message } = await expectOpenAiError(response, 'invalid_api_key');
    expect(message).toBe('Incorrect API key provided.');
  });

  test('before its body is looked at: a bad key with bad JSON', async () => {
    const response = await fetch(`${gateway.url}${CHAT}`, {
      method: 'POST',
      body: '{',
      headers: { authorization: 'Bearer no' },
    });
    await expectOpenAiError(response, 'invalid_api_key');
  });

  test('before its body has come: the answer does not wait for the rest, and the rest is not taken in', async () => {
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: 'Bearer no', 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
    await connection.write(requestBytes(`POST ${CHAT}`, headers));
    await connection.write(chunkOf(Buffer.alloc(64 * 1024, ' ')));
    const answer = await connection.read();
    await expectOpenAiError(answer, 'invalid_api_key');
    expect(answer.headers['connection']).toBe('close');
    await connection.closed;
    connection.destroy();
  });

  test('and a large announced body is not taken in either', async () => {
    const connection = await RawConnection.open(gateway.url);
    const headers = { authorization: 'Bearer no', 'content-type': 'application/json', 'content-length': '20000000' };
    await connection.write(requestBytes(`POST ${CHAT}`, headers));
    await expectOpenAiError(await connection.read(), 'invalid_api_key');
    await connection.closed;
    connection.destroy();
  });

  test('and a client that sends 20 MB before it listens reads its refusal all the same', async () => {
    const headers = { authorization: 'Bearer no', 'content-type': 'application/json' };
    const response = await fetch(`${gateway.url}${CHAT}`, {
      method: 'POST',
      headers,
      body: Buffer.alloc(20_000_000, ' '),
    });
    await expectOpenAiError(response, 'invalid_api_key');
  });
});

describe('a key of the ledger', () => {
  test('is taken as soon as it was made', async () => {
    const { token } = await createKey(database, { name: 'made', team: 'makers' }, testSecret);
    expect(await statusOf(token)).toBe(200);
  });

  test('says who asked, in the ledger', async () => {
    const { token, id } = await createKey(database, { name: 'billed', team: 'payers' }, testSecret);
    const response = await ask({ 'x-api-key': token });
    await response.text();
    const requestId = response.headers.get('x-request-id');
    let row;
    for (let count = 1; row === undefined; count++) {
      row = (await gateway.rows(count)).find((candidate) => candidate.request_id === requestId);
    }
    expect(row).toMatchObject({ key_id: id, key_name: 'billed', team: 'payers' });
  });

  test('works no more within a second of its end', async () => {
    const { token, id } = await createKey(database, { name: 'short-lived' }, testSecret);
    expect(await statusOf(token)).toBe(200);
    const revokedAt = performance.now();
    const { revision } = await inOneRevision(database, (tx) => revokeKey(tx, id));
    announceRules(bus, { revision, keys: [id] });
    await bus.flush();
    while ((await statusOf(token)) === 200) expect(performance.now() - revokedAt).toBeLessThan(1_000);
    await expectOpenAiError(await ask({ authorization: `Bearer ${token}` }), 'invalid_api_key');
  });

  test('a hundred requests at once with a new key are served', async () => {
    const { token } = await createKey(database, { name: 'many' }, testSecret);
    const statuses = await Promise.all(Array.from({ length: 100 }, () => statusOf(token)));
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});

describe('while the ledger is away', () => {
  test('keys that are known go on, others are told to come back', async () => {
    const known = await createKey(database, { name: 'known' }, testSecret);
    const unknown = await createKey(database, { name: 'not-asked-yet' }, testSecret);
    expect(await statusOf(known.token)).toBe(200);
    await gateway.services.ledger.stop();
    expect(await statusOf(known.token)).toBe(200);
    expect(await statusOf(TEST_KEY)).toBe(200);
    for (const token of [unknown.token, 'sk-nobody']) {
      const response = await ask({ authorization: `Bearer ${token}` });
      expect(response.headers.get('retry-after')).toBe('1');
      await expectOpenAiError(response, 'ledger_unavailable');
    }
    const ready = async (): Promise<{ status: string; checks: Record<string, { ok: boolean; detail: string }> }> =>
      (await fetch(`${gateway.url}/health/ready`)).json() as never;
    let readiness = await ready();
    while (readiness.checks['ledger']?.ok === true) readiness = await ready();
    // It is told; but a balancer must not take out who can serve.
    expect(readiness).toMatchObject({
      status: 'ready',
      checks: {
        nats: { ok: true },
        router: { ok: true },
        workers: { ok: true },
        ledger: { ok: false },
        postgres: { ok: false },
      },
    });
    expect(readiness.checks['ledger']?.detail).toBe('no ledger is heard of');
  });
});
