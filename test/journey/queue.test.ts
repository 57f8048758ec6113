import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { PLAIN_ANSWER, startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';

let journey: Journey;
let handmade: HandmadeProvider;
/** Requests that the provider holds: it answers one when the test says so. */
let held: (() => void)[] = [];

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  handmade.answer = (_request, response) => {
    held.push(() => response.writeHead(200, { 'content-type': 'application/json' }).end(PLAIN_ANSWER));
  };
  journey = await startJourney({
    providers: {
      narrow: { script: '', base_url: `${handmade.url}/v1`, concurrency: 1 },
      slow: { script: 'ttft=20', concurrency: 1 },
      wide: '',
    },
    routes: { 'narrow-or-wide': { strategy: 'ordered', targets: ['narrow/m', 'wide/m'] } },
  });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

/** Waits until so many requests stand in line. */
async function untilWaiting(count: number): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${journey.gateway.url}/metrics`)).text();
    const lines = [...metrics.matchAll(/^sluice_router_waiting_requests\{.*pool="narrow".*\} (\d+)$/gm)];
    if (lines.reduce((sum, [, waiting]) => sum + Number(waiting), 0) === count) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function untilHeld(count: number): Promise<void> {
  while (held.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
}

function release(): void {
  const all = held;
  held = [];
  for (const answer of all) answer();
}

test('five requests for one slot are all served, one after the other, and say how long they waited', async () => {
  const responses = await Promise.all(Array.from({ length: 5 }, () => journey.chat('slow/m')));
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  const waits = responses.map((response) => Number(response.headers.get('x-sluice-queue-ms'))).sort((a, b) => a - b);
  expect(waits[0]).toBe(0);
  expect(waits.slice(1).every((wait) => wait > 0)).toBe(true);
  expect(journey.provider.stats().maxActive).toBe(1);
});

test('how long it waited is in the ledger', async () => {
  const responses = await Promise.all([journey.chat('slow/m'), journey.chat('slow/m')]);
  for (const response of responses) {
    const [row] = await journey.gateway.rowsOf(requestIdOf(response), 1);
    expect(row).toHaveProperty('queue_ms', Number(response.headers.get('x-sluice-queue-ms')));
  }
});

test('a waiting client that leaves gives up its place, and the provider never hears of it', async () => {
  const before = handmade.requests.length;
  const first = journey.chat('narrow/m');
  await untilHeld(1);
  const abort = new AbortController();
  const leaving = journey.chat('narrow/m', {}, { signal: abort.signal }).catch((failure: Error) => failure.name);
  await untilWaiting(1);
  const last = journey.chat('narrow/m');
  await untilWaiting(2);
  abort.abort();
  expect(await leaving).toBe('AbortError');
  await untilWaiting(1);
  release();
  expect((await first).status).toBe(200);
  await untilHeld(1);
  release();
  expect((await last).status).toBe(200);
  expect(handmade.requests.length - before).toBe(2);
});

test('a deadline that comes while a request waits is a 504, and nobody is asked or billed', async () => {
  const before = handmade.requests.length;
  const first = journey.chat('narrow/m');
  await untilHeld(1);
  const late = await journey.chat('narrow/m', {}, { headers: { 'x-sluice-timeout': '200ms' } });
  expect({
    status: late.status,
    code: (await errorOf(late)).code,
    attempts: late.headers.get('x-sluice-attempts'),
  }).toEqual({
    status: 504,
    code: 'deadline_exceeded',
    attempts: '0',
  });
  release();
  await first;
  expect(handmade.requests.length - before).toBe(1);
});

test('after a deadline in the queue the slot serves the next request', async () => {
  const first = journey.chat('narrow/m');
  await untilHeld(1);
  await journey.chat('narrow/m', {}, { headers: { 'x-sluice-timeout': '200ms' } });
  const next = journey.chat('narrow/m');
  await untilWaiting(1);
  release();
  await untilHeld(1);
  release();
  expect([(await first).status, (await next).status]).toEqual([200, 200]);
});

test('nobody waits for the first target while the second has room', async () => {
  const first = journey.chat('narrow/m');
  await untilHeld(1);
  const response = await journey.chat('narrow-or-wide');
  expect(response.headers.get('x-sluice-deployment')).toBe('wide/m');
  release();
  await first;
});
