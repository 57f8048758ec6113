import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../shared/errors.ts';
import type { AnsweringServer } from '../../test/support/answering-server.ts';
import { startAnsweringServer } from '../../test/support/answering-server.ts';
import { RawConnection, requestBytes } from '../../test/support/raw-http.ts';
import { CREDIT_BYTES, Relay } from './relay.ts';

let server: AnsweringServer;

beforeAll(async () => {
  server = await startAnsweringServer();
});

afterAll(() => server.stop());

interface Client {
  readonly connection: RawConnection;
  readonly relay: Relay;
  /** What the client was said to have taken, step by step. */
  readonly taken: number[];
  readonly clock: { now: number };
}

async function connect(isStream: boolean): Promise<Client> {
  const connection = await RawConnection.open(server.url);
  const taken: number[] = [];
  const clock = { now: 0 };
  const relay = await new Promise<Relay>((resolve) => {
    server.onRequest = (response) =>
      resolve(new Relay({ response, isStream, onTaken: (bytes) => taken.push(bytes), now: () => clock.now }));
    void connection.write(requestBytes('GET /'));
  });
  return { connection, relay, taken, clock };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const HEADERS = { 'content-type': 'text/plain', 'x-own': 'value' };
const error = new GatewayError('upstream_cut_off', 'it broke');

describe('a relay', () => {
  test('keeps the order of what comes in one tick, head first, and of what comes later', async () => {
    const { connection, relay } = await connect(true);
    relay.begin(HEADERS);
    for (const part of ['a', 'b', 'c']) relay.data(Buffer.from(part));
    await turn();
    for (const part of ['d', 'e']) relay.data(Buffer.from(part));
    relay.end();
    expect(await connection.read()).toMatchObject({ status: 200, body: 'abcde' });
    connection.destroy();
  });

  test('gives a whole answer in one go', async () => {
    const { connection, relay } = await connect(false);
    relay.whole(HEADERS, Buffer.from('grüße'));
    expect(await connection.read()).toMatchObject({
      status: 200,
      headers: { 'x-own': 'value', 'content-length': '7' },
      body: 'grüße',
    });
    expect(relay.isOver).toBe(true);
    connection.destroy();
  });

  test('gives a stream’s bytes in their order, whatever their sizes and turns', async () => {
    const { connection, relay, clock } = await connect(true);
    relay.begin(HEADERS);
    let sent = '';
    for (let i = 0; i < 300; i++) {
      const text = `${i}:${'ü'.repeat((i * 37) % 400)};`;
      sent += text;
      clock.now = i;
      relay.data(Buffer.from(text));
      if (i % 7 < 3) await turn();
      if (i === 150) {
        relay.keepAlive(HEADERS);
        sent += ': keep-alive\n\n';
      }
    }
    relay.end();
    relay.data(Buffer.from('too late'));
    relay.fail(error, {});
    const answer = await connection.read();
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect(answer.body).toBe(sent);
    connection.destroy();
  });

  test('grants anew what its client has taken, in halves of the credit', async () => {
    const { connection, relay, taken } = await connect(true);
    relay.begin(HEADERS);
    const bytes = Buffer.alloc(16 * 1024);
    for (let i = 0; i < 64; i++) {
      relay.data(bytes);
      await turn();
    }
    relay.end();
    expect((await connection.read()).body).toHaveLength(64 * bytes.length);
    const granted = taken.reduce((sum, count) => sum + count, 0);
    expect(granted).toBeGreaterThan(64 * bytes.length - CREDIT_BYTES);
    expect(granted).toBeLessThanOrEqual(64 * bytes.length);
    for (const count of taken) expect(count).toBeGreaterThanOrEqual(CREDIT_BYTES / 2);
    connection.destroy();
  });

  test('knows for how long its client has taken nothing, and forgets it when it reads again', async () => {
    const { connection, relay, taken, clock } = await connect(true);
    connection.socket.pause();
    relay.begin(HEADERS);
    const bytes = Buffer.alloc(1024 * 1024);
    let sent = 0;
    while (relay.blockedFor(1_000) === 0) {
      relay.data(bytes);
      sent += bytes.length;
      await turn();
    }
    clock.now = 100;
    relay.data(bytes);
    expect(relay.blockedFor(1_000)).toBe(1_000);
    relay.keepAlive(HEADERS);
    connection.socket.resume();
    relay.end();
    expect((await connection.read()).body).toHaveLength(sent + bytes.length);
    expect(taken.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(sent + bytes.length);
    connection.destroy();
  });

  test('tells a failure by its status while that is open', async () => {
    for (const isStream of [true, false]) {
      const { connection, relay } = await connect(isStream);
      relay.fail(error, { 'x-request-id': 'req_1' });
      const answer = await connection.read();
      expect(answer).toMatchObject({ status: 502, headers: { 'x-request-id': 'req_1', 'x-should-retry': 'true' } });
      expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'upstream_cut_off' } });
      connection.destroy();
    }
  });

  test('tells it by an event once a stream has begun, also by a keep-alive', async () => {
    const { connection, relay } = await connect(true);
    relay.keepAlive(HEADERS);
    relay.fail(error, {});
    const { body } = await connection.read();
    expect(body).toMatch(/^: keep-alive\n\ndata: \{"error":\{"message":"it broke".*\}\}\n\n$/);
    connection.destroy();
  });

  test('cuts a plain answer that had begun: it stops short of its length', async () => {
    const { connection, relay } = await connect(false);
    relay.begin(HEADERS, 1_000);
    relay.data(Buffer.from('only so much'));
    await connection.until((received) => received.includes('only so much'));
    relay.fail(error, {});
    await connection.closed;
    await expect(connection.read()).rejects.toThrow('the connection ended');
    connection.destroy();
  });

  test('sends no keep-alive into a plain answer', async () => {
    const { connection, relay } = await connect(false);
    relay.keepAlive(HEADERS);
    expect(relay.hasBegun).toBe(false);
    relay.destroy();
    await connection.closed;
    connection.destroy();
  });
});
