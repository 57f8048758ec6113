import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BEAT_EVERY_MS } from '../../shared/messages/beat.ts';
import { brief, errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readStream, textOf } from '../support/sse.ts';

/** Failures before the first content token; `stream` alone where a plain answer has no such thing. */
const PATIENCE = { first_token: '250ms', between_tokens: '250ms', total: '600ms' };
const EARLY = [
  { what: 'the status 500', script: 'seq=500', code: 'upstream_failed', status: 502 },
  { what: 'the status 503', script: 'seq=503&ra=-', code: 'upstream_failed', status: 502 },
  { what: 'the status 408', script: 'seq=408', code: 'upstream_failed', status: 502 },
  { what: 'the status 429', script: 'seq=429&ra=0', code: 'upstream_throttled', status: 429 },
  { what: 'the status 401', script: 'seq=401', code: 'upstream_unauthorized', status: 502 },
  { what: 'the status 403', script: 'seq=403', code: 'upstream_unauthorized', status: 502 },
  { what: 'silence', script: 'seq=hang', code: 'upstream_timeout', status: 504 },
  { what: 'a head, then silence', script: 'seq=headers-only', code: 'upstream_timeout', status: 504 },
].map((fault, index) => ({ ...fault, name: `failing${index}` }));
const BOTH = EARLY.flatMap((fault) => [
  { ...fault, stream: true },
  { ...fault, stream: false },
]);

let journey: Journey;
let closedPort: number;

beforeAll(async () => {
  closedPort = await unusedPort();
  const failing = ['role-then-err', 'cut'].map((verdict) => [verdict, `n=0&seq=${verdict}`] as const);
  journey = await startJourney({
    providers: {
      good: '',
      spare: '',
      throttled: 'seq=429&ra=7',
      'throttled-too': 'seq=429&ra=7',
      refusing: { script: '', base_url: `http://127.0.0.1:${closedPort}/v1` },
      ...Object.fromEntries(EARLY.map(({ name, script }) => [name, { script, timeouts: PATIENCE }])),
      ...Object.fromEntries(failing),
    },
    routes: {
      ...Object.fromEntries(
        [...EARLY.map(({ name }) => name), 'refusing'].map((name) => [
          `${name}-or-good`,
          { strategy: 'ordered', targets: [`${name}/m`, 'good/m'] },
        ]),
      ),
      'many-fail': {
        strategy: 'ordered',
        targets: ['role-then-err/m', 'cut/m', 'refusing/m', 'failing0/m', 'good/m'],
      },
      'none-left': { strategy: 'ordered', targets: ['cut/m', 'role-then-err/m'], fallbacks: ['throttled-too/m'] },
      'with-fallbacks': { targets: ['failing0/m'], fallbacks: ['failing1/m', 'good/m', 'spare/m'] },
    },
  });
});

afterAll(() => journey.stop());

describe.each(BOTH)('$what before the first token (stream: $stream)', ({ name, stream, code, status }) => {
  test('moves the request on to the next deployment', async () => {
    // One that has just said 429 is passed over until its worker's next word.
    if (status === 429) await new Promise((resolve) => setTimeout(resolve, 2 * BEAT_EVERY_MS));
    const response = await journey.chat(`${name}-or-good`, { stream });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-sluice-deployment')).toBe('good/m');
    await response.text();
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 2);
    expect(rows.map(({ error }) => error)).toEqual([code, null]);
    expect(rows.map(({ earlier }) => earlier)).toEqual([null, [{ deployment: `${name}/m`, code }]]);
  });

  test(`is told as ${status} when nobody is left`, async () => {
    const response = await journey.chat(`${name}/m`, { stream });
    expect(response.status).toBe(status);
    expect(response.headers.get('x-should-retry')).toBe('true');
    const { type } = await errorOf(response);
    expect(type).toBe(status === 429 ? 'requests' : 'server_error');
  });
});

test('a client sees one stream with one id and one role, however many deployments failed before', async () => {
  const response = await journey.chat('many-fail', { stream: true });
  const { chunks, errors, isDone } = await readStream(response);
  expect(response.headers.get('x-sluice-attempts')).toBe('5');
  expect({ errors, isDone, text: textOf(chunks) }).toEqual({ errors: [], isDone: true, text: 'token '.repeat(8) });
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(chunks.filter(({ choices }) => choices[0]?.delta.role !== undefined)).toHaveLength(1);
});

test('a refused connection moves the request on', async () => {
  const response = await journey.chat('refusing-or-good');
  expect(response.status).toBe(200);
  expect((await journey.gateway.rowsOf(requestIdOf(response), 2)).map(brief)).toEqual([
    { deployment: 'refusing/m', error: 'upstream_unreachable', finish: null, outputTokens: 0 },
    { deployment: 'good/m', error: null, finish: 'stop', outputTokens: 8 },
  ]);
});

test('a refused connection is told as 503, without the address', async () => {
  const response = await journey.chat('refusing/m');
  const { code, message } = await errorOf(response);
  expect({ status: response.status, code }).toEqual({ status: 503, code: 'upstream_unreachable' });
  expect(message).not.toContain(String(closedPort));
});

test('what was never answered is not billed', async () => {
  const response = await journey.chat('refusing/m');
  const [row] = await journey.gateway.rowsOf(requestIdOf(response), 1);
  expect(row).toMatchObject({ cost_nano_usd: '0', upstream_status: null });
  expect(Number(row?.input_tokens)).toBe(0);
});

test('fallbacks are asked in their order once every target has failed', async () => {
  const response = await journey.chat('with-fallbacks');
  await response.text();
  const rows = await journey.gateway.rowsOf(requestIdOf(response), 3);
  expect(rows.map(({ deployment }) => deployment)).toEqual(['failing0/m', 'failing1/m', 'good/m']);
});

test('when everybody has failed the client is told of the last failure', async () => {
  const response = await journey.chat('none-left', { stream: true, sluice: { on_limit: 'reject' } });
  expect(response.headers.get('x-sluice-attempts')).toBe('3');
  expect((await errorOf(response)).code).toBe('rate_limit_exceeded');
});

test('a throttled client is told when to come back, in the provider’s words', async () => {
  const response = await journey.chat('throttled/m', { sluice: { on_limit: 'reject' } });
  expect(response.status).toBe(429);
  expect(response.headers.get('retry-after')).toBe('7');
  expect(await errorOf(response)).toEqual({
    message: 'Rate limit reached for requests.',
    type: 'requests',
    param: null,
    code: 'rate_limit_exceeded',
  });
});

test('a request of several parts is given whole to the next deployment', async () => {
  const content = Array.from({ length: 200_000 }, (_, at) => `${at} `).join('');
  const response = await journey.chat('failing0-or-good', { messages: [{ role: 'user', content }] });
  expect(response.status).toBe(200);
  const { messages } = JSON.parse(journey.bodies('good').at(-1)?.toString() ?? '') as {
    messages: { content: string }[];
  };
  expect(messages[0]?.content === content).toBe(true);
});

test('the connection of a provider that took too long is closed', async () => {
  const { provider } = journey;
  const before = provider.stats().total.abandoned;
  await journey.chat('failing6/m', { stream: true });
  await provider.waitFor(({ active, total }) => active === 0 && total.abandoned > before);
});

/** A port where nobody listens. */
async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
