import { afterAll, beforeAll, expect, test } from 'vitest';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { readUntil } from '../support/sse.ts';

/**
 * The promise is 100 ms, and 2 to 23 ms it takes where nothing else runs (27 of them). Here it may be that everything stands
 * still for a moment; but whatever else would free the connection, a timeout or a client that is taken for stalled, comes later.
 */
const FREED_WITHIN_MS = 2_000;

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: {
      streaming: { script: 'n=100000&itl=5', concurrency: 1 },
      thinking: 'seq=hang',
      opening: 'seq=headers-only',
      large: { script: 'size=20000000', concurrency: 1 },
      next: '',
    },
    routes: { 'thinking-or-next': { strategy: 'ordered', targets: ['thinking/m', 'next/m'] } },
  });
});

afterAll(() => journey.stop());

/** Leaves, and answers how long after that the provider saw it, in milliseconds. */
async function leave(abort: AbortController): Promise<number> {
  const { provider } = journey;
  const before = provider.stats().abandonments.length;
  const leftAt = performance.timeOrigin + performance.now();
  abort.abort();
  const { abandonments } = await provider.waitFor((stats) => stats.abandonments.length > before);
  return (abandonments.at(-1)?.atMs ?? Infinity) - leftAt;
}

async function rowAfter(count: number) {
  return (await journey.gateway.rows(count)).at(-1);
}

let attempts = 0;

test('a client that leaves in the middle of a stream frees the provider’s connection', async () => {
  const abort = new AbortController();
  const response = await journey.chat('streaming/m', { stream: true }, { signal: abort.signal });
  await readUntil(response.body!.getReader(), (text) => text.split('"token "').length > 10);
  expect(await leave(abort)).toBeLessThan(FREED_WITHIN_MS);
  expect(await rowAfter(++attempts)).toMatchObject({
    error: 'client_closed_request',
    is_estimated: true,
    finish: null,
  });
});

test('what it had used up to then is in the ledger', async () => {
  const abort = new AbortController();
  const response = await journey.chat('streaming/m', { stream: true }, { signal: abort.signal });
  const text = await readUntil(response.body!.getReader(), (read) => read.split('"token "').length > 10);
  const seen = text.split('"token "').length - 1;
  await leave(abort);
  const row = await rowAfter(++attempts);
  const sent = journey.provider.stats().abandonments.at(-1)?.tokens ?? 0;
  expect(Number(row?.output_tokens)).toBeGreaterThanOrEqual(seen);
  expect(Number(row?.output_tokens)).toBeLessThanOrEqual(sent);
  expect(Number(row?.cost_nano_usd)).toBe(Number(row?.input_tokens) * 1_000 + Number(row?.output_tokens) * 2_000);
});

test.each([
  { what: 'a stream', model: 'thinking/m', stream: true },
  { what: 'a plain answer', model: 'thinking/m', stream: false },
  { what: 'the first token of a stream that has opened', model: 'opening/m', stream: true },
  { what: 'the body of a plain answer', model: 'opening/m', stream: false },
])('a client that leaves before $what frees the provider’s connection', async ({ model, stream }) => {
  const abort = new AbortController();
  const asked = journey.chat(model, { stream }, { signal: abort.signal }).catch((failure: Error) => failure.name);
  await journey.provider.waitFor(({ active }) => active === 1);
  expect(await leave(abort)).toBeLessThan(FREED_WITHIN_MS);
  expect(await asked).toBe('AbortError');
  expect(await rowAfter(++attempts)).toMatchObject({ error: 'client_closed_request', output_tokens: 0, finish: null });
});

test('nobody else is asked for a client that has left', async () => {
  const abort = new AbortController();
  const asked = journey.chat('thinking-or-next', {}, { signal: abort.signal }).catch(() => undefined);
  await journey.provider.waitFor(({ active }) => active === 1);
  await leave(abort);
  await asked;
  await rowAfter(++attempts);
  expect(journey.counted('next').requests).toBe(0);
});

test('a client that leaves in the middle of a large plain answer pays for all of it, and its slot is free', async () => {
  const abort = new AbortController();
  const response = await journey.chat('large/m', {}, { signal: abort.signal });
  await response.body?.getReader().read();
  abort.abort();
  expect(await rowAfter(++attempts)).toMatchObject({
    error: 'client_closed_request',
    is_estimated: false,
    finish: 'stop',
    output_tokens: 8,
  });
  const next = await journey.chat('large/m');
  expect((await next.arrayBuffer()).byteLength).toBeGreaterThan(20_000_000);
  attempts++;
});

test('a slot that its client has left is free again, twenty times over', async () => {
  for (let round = 0; round < 20; round++) {
    const abort = new AbortController();
    const response = await journey.chat('streaming/m', { stream: true }, { signal: abort.signal });
    expect(response.headers.get('x-sluice-deployment')).toBe('streaming/m');
    await leave(abort);
  }
  const { maxActive } = journey.provider.stats();
  expect(maxActive).toBe(1);
});
