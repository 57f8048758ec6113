import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answerSse, startHandmadeProvider } from '../support/handmade-provider.ts';
import type { HandmadeProvider } from '../support/handmade-provider.ts';
import { brief, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { finishesOf, readStream, textOf } from '../support/sse.ts';

/** What this provider sends after the event that ended the stream for us, the gateway never reads. */
const AFTER_MALFORMED = 'goes on after a malformed event';

/** Ways in which a stream of eight tokens ends badly after its first content, and how many tokens came before. */
const CASES = [
  { what: 'ends without a finish reason', script: 'seq=nofinish', code: 'upstream_cut_off', tokens: 8, finishes: [] },
  { what: 'ends without [DONE]', script: 'seq=nodone', code: 'upstream_cut_off', tokens: 8, finishes: ['stop'] },
  { what: 'ends inside an event', script: 'seq=cutjson', code: 'upstream_cut_off', tokens: 4, finishes: [] },
  { what: 'is cut', script: 'seq=cut', code: 'upstream_cut_off', tokens: 4, finishes: [] },
  { what: 'is reset', script: 'seq=cutreset', code: 'upstream_cut_off', tokens: 4, finishes: [] },
  { what: 'reports an error', script: 'seq=err', code: 'upstream_failed', tokens: 4, finishes: [] },
  { what: 'ends with a malformed event', script: 'seq=bad', code: 'upstream_malformed', tokens: 4, finishes: [] },
  {
    what: AFTER_MALFORMED,
    script: 'seq=midbad',
    code: 'upstream_malformed',
    tokens: 4,
    finishes: [],
  },
  { what: 'falls silent', script: 'seq=stall', code: 'upstream_timeout', tokens: 4, finishes: [] },
].map((fault, index) => ({ ...fault, name: `broken${index}` }));

let journey: Journey;
let handmade: HandmadeProvider;

beforeAll(async () => {
  handmade = await startHandmadeProvider();
  const timeouts = { between_tokens: '300ms' };
  journey = await startJourney({
    providers: {
      good: '',
      handmade: { script: '', base_url: `${handmade.url}/v1` },
      ...Object.fromEntries(CASES.map(({ name, script }) => [name, { script, timeouts }])),
    },
    routes: Object.fromEntries(
      [...CASES.map(({ name }) => name), 'handmade'].map((name) => [
        `${name}-or-good`,
        { strategy: 'ordered', targets: [`${name}/m`, 'good/m'] },
      ]),
    ),
  });
});

afterAll(async () => {
  await journey.stop();
  await handmade.stop();
});

describe.each(CASES)('a stream that $what', ({ what, name, code, tokens, finishes }) => {
  test('ends with an error event, and neither [DONE] nor an invented finish', async () => {
    const response = await journey.chat(`${name}-or-good`, { stream: true });
    const { chunks, errors, events, isDone } = await readStream(response);
    expect(isDone).toBe(false);
    expect(errors).toEqual([{ message: expect.any(String) as string, type: 'server_error', param: null, code }]);
    expect(JSON.parse(events.at(-1) ?? '')).toHaveProperty('error');
    expect(textOf(chunks)).toBe('token '.repeat(tokens));
    expect(finishesOf(chunks)).toEqual(finishes);
  });

  test('has shown its text once: nobody else is asked', async () => {
    const asked = journey.counted(name).requests;
    const response = await journey.chat(`${name}-or-good`, { stream: true });
    const { chunks } = await readStream(response);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(journey.counted(name).requests).toBe(asked + 1);
    expect(journey.counted('good').requests).toBe(0);
  });

  test('is in the ledger with the tokens that the provider counted', async () => {
    const before = journey.counted(name).completionTokens;
    const response = await journey.chat(`${name}/m`, { stream: true });
    await response.text();
    const rows = await journey.gateway.rowsOf(requestIdOf(response), 1);
    await journey.provider.waitFor(({ active }) => active === 0);
    const outputTokens = journey.counted(name).completionTokens - before;
    expect(rows.map(brief)).toEqual([
      {
        deployment: `${name}/m`,
        error: code,
        finish: finishes[0] ?? null,
        outputTokens: what === AFTER_MALFORMED ? tokens : outputTokens,
      },
    ]);
  });
});

test('one finished choice of two is no end', async () => {
  const event = (index: number, delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index, delta, finish_reason: finish }] })}\n\n`;
  handmade.answer = answerSse(
    ...[0, 1].map((index) => event(index, { role: 'assistant', content: '' }, null)),
    ...[0, 1].map((index) => event(index, { content: 'one ' }, null)),
    event(0, {}, 'stop'),
    'data: [DONE]\n\n',
  );
  const { chunks, errors, isDone } = await readStream(await journey.chat('handmade-or-good', { stream: true, n: 2 }));
  expect({ isDone, codes: errors.map(({ code }) => code), finishes: finishesOf(chunks) }).toEqual({
    isDone: false,
    codes: ['upstream_cut_off'],
    finishes: ['stop'],
  });
});

test('a stream whose end mark came is whole, however its connection ends', async () => {
  const { gateway, provider } = journey;
  provider.configure('seq=noend');
  const response = await journey.chat('good/m', { stream: true });
  const { chunks, errors, isDone } = await readStream(response);
  expect({ text: textOf(chunks), errors, isDone }).toEqual({ text: 'token '.repeat(8), errors: [], isDone: true });
  expect((await gateway.rowsOf(requestIdOf(response), 1)).map(brief)).toEqual([
    { deployment: 'good/m', error: null, finish: 'stop', outputTokens: 8 },
  ]);
});

test('an end mark without a finish reason ends the stream at once, though the connection stays open', async () => {
  handmade.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(
      'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}\n\n',
    );
    response.write('data: [DONE]\n\n');
  };
  const { errors, isDone } = await readStream(await journey.chat('handmade/m', { stream: true }));
  expect({ isDone, codes: errors.map(({ code }) => code) }).toEqual({ isDone: false, codes: ['upstream_cut_off'] });
});
