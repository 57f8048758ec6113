import { afterAll, beforeAll, expect, test } from 'vitest';
import { TEST_KEY } from '../support/gateway.ts';
import { startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { RawConnection } from '../support/raw-http.ts';
import { parseSse, textOf } from '../support/sse.ts';

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: {
      slow: 'n=20&itl=10',
      quick: 'n=3',
      steady: 'n=60&itl=5',
      long: 'n=20000',
      late: 'seq=slow&slow=100&size=300000',
    },
  });
});

afterAll(() => journey.stop());

function request(model: string, stream = true): string {
  const body = JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'hello' }] });
  return `POST /v1/chat/completions HTTP/1.1\r\nhost: sluice\r\nauthorization: Bearer ${TEST_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Sends the requests in one write; their answers' text, in the order in which they came. */
async function ask(...models: readonly string[]): Promise<string[]> {
  const connection = await RawConnection.open(journey.gateway.url);
  await connection.write(models.map((model) => request(model)).join(''));
  const texts: string[] = [];
  for (const _model of models) {
    const { chunks, isDone } = parseSse((await connection.read({ timeoutMs: 10_000 })).body);
    texts.push(isDone ? textOf(chunks) : 'not done');
  }
  connection.socket.destroy();
  return texts;
}

test('a quick stream behind a slow one waits for its turn', async () => {
  expect(await ask('slow/m', 'quick/m')).toEqual(['token '.repeat(20), 'token '.repeat(3)]);
});

test('a stream that goes on when its turn has come stays in order', async () => {
  expect(await ask('slow/m', 'steady/m', 'quick/m')).toEqual([
    'token '.repeat(20),
    'token '.repeat(60),
    'token '.repeat(3),
  ]);
});

test('a stream larger than its credit arrives whole after its wait', async () => {
  const texts = await ask('slow/m', 'long/m');
  expect(texts.map(({ length }) => length)).toEqual([20 * 6, 20_000 * 6]);
});

test('plain answers of one connection keep their order', async () => {
  const connection = await RawConnection.open(journey.gateway.url);
  await connection.write(request('late/m', false) + request('quick/m', false));
  const models = [];
  for (let at = 0; at < 2; at++) models.push((JSON.parse((await connection.read()).body) as { model: string }).model);
  connection.socket.destroy();
  expect(models).toEqual(['late/m', 'quick/m']);
});

test('a client that leaves frees the providers of all its requests', async () => {
  const { provider } = journey;
  const before = provider.stats().total.abandoned;
  const connection = await RawConnection.open(journey.gateway.url);
  await connection.write(request('steady/m') + request('steady/m'));
  await provider.waitFor(({ active }) => active === 2);
  connection.socket.destroy();
  await provider.waitFor(({ active, total }) => active === 0 && total.abandoned === before + 2);
});
