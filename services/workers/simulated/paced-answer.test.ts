import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { INSTANT, REALISTIC, drawTempo } from './pace.ts';
import type { Pace } from './pace.ts';
import { startSimulatedProvider } from './server.ts';
import type { SimulatedProvider } from './server.ts';
import { loadTokenizer } from './tokens.ts';

/** The first token at once, the others too late for any test. */
const STUCK: Pace = { firstTokenMs: [0, 0], tokenMs: [2_000, 2_000] };
const BODY = { model: 'lorem', messages: [{ role: 'user', content: 'x' }], stream: true };

const providers: SimulatedProvider[] = [];
afterEach(() => Promise.all(providers.splice(0).map((provider) => provider.stop())));

async function start(pace: Pace): Promise<SimulatedProvider> {
  const provider = await startSimulatedProvider({ clock: systemClock, pace });
  providers.push(provider);
  return provider;
}

async function open(provider: SimulatedProvider, body: object = BODY): Promise<IncomingMessage> {
  const call = request(`${provider.baseUrl}/chat/completions`, { method: 'POST', agent: false });
  call.on('error', () => {});
  call.end(JSON.stringify(body));
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return response;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test('a stream comes at the pace of a model', async () => {
  const provider = await start(REALISTIC);
  await loadTokenizer();
  const startedAt = systemClock.now();
  const response = await open(provider, { ...BODY, max_tokens: 15 });
  expect(systemClock.now() - startedAt).toBeGreaterThan(240);
  const times: number[] = [];
  for await (const _ of response) times.push(systemClock.now());
  // 15 tokens, 11 to 17 ms apart, scattered by 40 %.
  expect((times.at(-1) as number) - (times[0] as number)).toBeGreaterThan(15 * 11 * 0.6 - 10);
  expect(times.length).toBeGreaterThan(1);
});

test('a client that goes away ends the answer at once', async () => {
  const provider = await start(STUCK);
  const response = await open(provider, { ...BODY, max_tokens: 1_000 });
  await once(response, 'data');
  expect(provider.openAnswers).toBe(1);
  response.destroy();
  await until(() => provider.openAnswers === 0);
});

test('`stop` cuts off what is under way, without an end mark, and can be called twice', async () => {
  const provider = await start(STUCK);
  const response = await open(provider, { ...BODY, max_tokens: 1_000 });
  let text = '';
  response.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(response, 'data');
  const closed = new Promise((resolve) => response.on('close', resolve));
  await provider.stop();
  await closed;
  expect(response.complete).toBe(false);
  expect(text).not.toContain('[DONE]');
  expect(provider.openAnswers).toBe(0);
  await provider.stop();
});

test('a client that does not read holds up its own answer alone', async () => {
  const provider = await start(INSTANT);
  const long = { model: 'echo', messages: [{ role: 'user', content: '🎉 '.repeat(60_000) }], stream: true, n: 4 };
  const idle = await open(provider, long);
  const busy = await open(provider);
  let text = '';
  for await (const chunk of busy) text += String(chunk);
  expect(text.endsWith('[DONE]\n\n')).toBe(true);
  let bytes = 0;
  let end = '';
  for await (const chunk of idle as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    end = (end + chunk.toString()).slice(-20);
  }
  expect(bytes).toBeGreaterThan(10_000_000);
  expect(end.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('the longest answer takes half a minute, a usual one its 60 to 90 tokens a second', () => {
  const tempo = (tokens: number) => drawTempo(REALISTIC, tokens, () => 1);
  expect(tempo(120).totalMs).toBeCloseTo(400 + 2_000);
  expect(tempo(16_384).totalMs).toBeCloseTo(400 + 30_000);
});
