import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runIngress } from '../../infra/services.ts';
import type { RunningIngress } from '../../infra/services.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import { TEST_KEY, untilReady } from '../support/gateway.ts';
import { PLAIN_ANSWER, startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

const ROOM = 16;
let handmade: HandmadeProvider;
let journey: Journey;
let second: RunningIngress;
const held: (() => void)[] = [];
let isHolding = false;

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  handmade.answer = (_request, response) => {
    const answer = (): void => void response.writeHead(200, { 'content-type': 'application/json' }).end(PLAIN_ANSWER);
    if (isHolding) held.push(answer);
    else answer();
  };
  journey = await startJourney({
    providers: {
      pool: { script: '', base_url: `${handmade.url}/v1`, concurrency: ROOM },
      other: '',
    },
    routes: {
      first: { strategy: 'ordered', targets: ['pool/m', 'other/m'] },
      lots: { strategy: 'weighted', targets: ['pool/m', 'other/m'] },
    },
  });
  const { config, nats } = journey.gateway;
  const log = createLog('error', 'second');
  const registry = new Registry();
  second = await runIngress({ config, natsUrl: nats.url, clock: systemClock, log, registry });
  await untilReady(second.url);
});

beforeEach(() => {
  isHolding = false;
});

afterAll(async () => {
  await second.stop(100);
  await journey.stop();
  await handmade.stop();
});

function chatAt(url: string, model: string): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }),
  });
}

async function placedAhead(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^sluice_placed_ahead_total (\d+)$/m.exec(metrics)?.[1]);
}

/** Asks one after the other until some were placed without a question. Answers the last response. */
async function untilPlacedAhead(url: string, model: string, count = 3): Promise<Response> {
  const enough = (await placedAhead(url)) + count;
  for (;;) {
    const response = await chatAt(url, model);
    expect(response.status).toBe(200);
    if ((await placedAhead(url)) >= enough) return response;
    await response.body?.cancel();
  }
}

test('requests that follow each other are placed without asking, and accounted as any other', async () => {
  const response = await untilPlacedAhead(journey.gateway.url, 'first');
  expect({
    deployment: response.headers.get('x-sluice-deployment'),
    attempts: response.headers.get('x-sluice-attempts'),
    queueMs: response.headers.get('x-sluice-queue-ms'),
  }).toEqual({ deployment: 'pool/m', attempts: '1', queueMs: '0' });
  const [row] = await journey.gateway.rowsOf(requestIdOf(response), 1);
  expect(row).toMatchObject({ deployment: 'pool/m', model: 'first', route: 'first', error: null });
});

test('a route that draws lots asks for each request', async () => {
  const before = await placedAhead(journey.gateway.url);
  for (let i = 0; i < 20; i++) expect((await chatAt(journey.gateway.url, 'lots')).status).toBe(200);
  expect(await placedAhead(journey.gateway.url)).toBe(before);
});

test('what one ingress holds ahead keeps nobody waiting at another: every slot of the pool is in use', async () => {
  for (let round = 0; round < 5; round++) {
    isHolding = false;
    await untilPlacedAhead(journey.gateway.url, 'pool/m');
    isHolding = true;
    const responses = Promise.all(Array.from({ length: ROOM }, () => chatAt(second.url, 'pool/m')));
    while (held.length < ROOM) await new Promise((resolve) => setTimeout(resolve, 2));
    for (const answer of held.splice(0)) answer();
    expect((await responses).every(({ status }) => status === 200)).toBe(true);
  }
});

test('a request on a slot ahead that fails goes elsewhere, as any other', async () => {
  await untilPlacedAhead(journey.gateway.url, 'first');
  const answerWell = handmade.answer;
  handmade.answer = (_request, response) => void response.writeHead(500).end();
  try {
    for (let i = 0; i < 5; i++) {
      const response = await chatAt(journey.gateway.url, 'first');
      expect([response.status, response.headers.get('x-sluice-deployment')]).toEqual([200, 'other/m']);
      expect(response.headers.get('x-sluice-attempts')).toBe('2');
    }
  } finally {
    handmade.answer = answerWell;
  }
});
