import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Deployment, rowsOfModel } from '../support/deployment.ts';
import { freshDatabase, freshNats, redisUrl } from '../support/fresh.ts';
import type { TestDatabase } from '../support/fresh.ts';
import { TEST_KEY } from '../support/gateway.ts';
import { ask, isServed, summary } from '../support/load.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { reconcile } from '../support/reconcile.ts';
import type { TestNats } from '../support/servers.ts';
import { until } from '../support/settled.ts';
import { readStream, readUntil, textOf } from '../support/sse.ts';

/** Two processes of each service: every journey passes through either ingress, whoever of the others takes part. */
const TOKENS = 8;
/** Slots of the pool `narrow` at each of the two workers. */
const NARROW = 5;
const PRICE = { input: '1 USD', output: '2 USD' };

describe.each([{ redis: 'with Redis' }, { redis: 'without Redis' }])('scaled out $redis', ({ redis }) => {
  let nats: TestNats;
  let database: TestDatabase;
  let provider: ScriptedProvider;
  let gateway: Deployment;

  beforeAll(async () => {
    provider = await startProvider({ defaults: `n=${TOKENS}&ts=1`, record: 10_000 });
    [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
    const pool = (script: string, models: readonly string[], more: object = {}): object => ({
      base_url: `${provider.url}/m/${script}/v1`,
      models: Object.fromEntries(models.map((name) => [name, { price: PRICE }])),
      ...more,
    });
    const providers = {
      mock: pool('up=mock', ['plain', 'stream', 'embed', 'spare']),
      down: pool('up=down&seq=500', ['broken'], { breaker: 'off' }),
      slow: pool('up=slow&itl=200&n=100', ['endless']),
      narrow: pool('up=narrow&ttft=30&itl=5', ['contended'], { concurrency: NARROW }),
    };
    const routes = { either: { targets: ['down/broken'], fallbacks: ['mock/spare'] } };
    gateway = await Deployment.start({
      yaml: `providers: ${JSON.stringify(providers)}\nroutes: ${JSON.stringify(routes)}`,
      natsUrl: nats.url,
      databaseUrl: database.url,
      ...(redis === 'with Redis' ? { redisUrl: await redisUrl() } : {}),
    });
  }, 90_000);

  afterAll(async () => {
    await gateway.stop();
    await Promise.allSettled([nats.stop(), database.drop(), provider.stop()]);
  });

  const request = (url: string, path: string, body?: object, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}/v1${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...init,
    });
  const chat = (url: string, model: string, more: object = {}, init?: RequestInit): Promise<Response> =>
    request(url, '/chat/completions', { model, messages: [{ role: 'user', content: 'Hello.' }], ...more }, init);

  describe.each([0, 1])('through ingress %i', (index) => {
    const url = (): string => gateway.urls()[index] ?? '';

    test('everything that is needed is there', async () => {
      const { checks } = (await (await fetch(`${url()}/health/ready`)).json()) as { checks: Record<string, object> };
      const redisSays = redis === 'with Redis' ? 'answers' : 'not configured: limits and cache are in process';
      expect(checks).toMatchObject({
        router: { ok: true, detail: '2 live' },
        redis: { ok: true, detail: redisSays },
      });
    });

    test('a plain answer', async () => {
      expect((await ask(url(), { model: 'mock/plain', tokens: TOKENS, stream: false })).ending.kind).toBe('served');
    });

    test('a stream', async () => {
      expect((await ask(url(), { model: 'mock/stream', tokens: TOKENS, stream: true })).ending.kind).toBe('served');
    });

    test('embeddings', async () => {
      const response = await request(url(), '/embeddings', { model: 'mock/embed', input: ['one', 'two'] });
      expect(((await response.json()) as { data: object[] }).data).toHaveLength(2);
    });

    test('the list of models', async () => {
      const { data } = (await (await request(url(), '/models')).json()) as { data: { id: string }[] };
      expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(['either', 'mock/plain', 'narrow/contended']));
    });

    test('a fallback', async () => {
      const response = await chat(url(), 'either', { stream: true });
      const { chunks, isDone } = await readStream(response);
      expect(isDone && textOf(chunks).length > 0).toBe(true);
      expect(response.headers.get('x-sluice-deployment')).toBe('mock/spare');
    });

    test('a provider’s error', async () => {
      const response = await chat(url(), 'down/broken');
      const { error } = (await response.json()) as { error: { code: string } };
      expect(response.status).toBeGreaterThanOrEqual(500);
      expect(error.code).toEqual(expect.any(String));
    });

    test('a client that leaves: the provider’s connection is closed', async () => {
      const before = provider.stats().total.abandoned;
      const leaving = new AbortController();
      const response = await chat(url(), 'slow/endless', { stream: true }, { signal: leaving.signal });
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      await readUntil(reader, (text) => text.includes('@0:'));
      leaving.abort();
      await provider.waitFor(({ total }) => total.abandoned === before + 1);
    });
  });

  test(
    'a hundred requests for ten slots: each is served once, and no slot is used twice',
    { timeout: 40_000 },
    async () => {
      await provider.waitFor(({ active }) => active === 0);
      provider.reset();
      const asked = Array.from({ length: 100 }, (_, index) =>
        ask(gateway.urls()[index % 2] ?? '', { model: 'narrow/contended', tokens: TOKENS, stream: index % 4 < 2 }),
      );
      const outcomes = await Promise.all(asked);
      const { maxActive, total } = provider.stats();
      const { rows, faults } = await reconcile(
        { upstreamModel: 'contended', outcomes },
        { databaseUrl: database.url, provider },
      );
      process.stdout.write(
        `100 for ${2 * NARROW} slots: ${summary(outcomes)}; at most ${maxActive} at once; ${rows} rows\n`,
      );
      expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
      expect(faults).toEqual([]);
      expect({ requests: total.requests, rows }).toEqual({ requests: 100, rows: 100 });
      expect(maxActive).toBeLessThanOrEqual(2 * NARROW);
    },
  );

  test('every attempt is in the ledger once', async () => {
    const expected = {
      plain: [null, null],
      embed: [null, null],
      spare: [null, null],
      endless: ['client_closed_request', 'client_closed_request'],
      // Once for each request that had somewhere else to go, and three times for each that had not.
      broken: Array<string>(8).fill('upstream_failed'),
    };
    for (const [model, errors] of Object.entries(expected)) {
      let rows = await rowsOfModel(database.url, model);
      await until(
        async () => (rows = await rowsOfModel(database.url, model)).length >= errors.length,
        10_000,
        () => `${model}: ${rows.length} rows`,
      );
      expect({ model, errors: rows.map(({ error }) => error) }).toEqual({ model, errors });
    }
  });
});
