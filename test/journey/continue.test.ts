import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brief, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { finishesOf, readStream, readUntil, textOf } from '../support/sse.ts';

/** Streams of eight tokens that break after their fourth; the next deployment then says eight more. */
const BREAKS = [
  { what: 'is cut', script: 'seq=cut', code: 'upstream_cut_off' },
  { what: 'reports an error', script: 'seq=err', code: 'upstream_failed' },
  { what: 'falls silent', script: 'seq=stall', code: 'upstream_timeout' },
].map((fault, index) => ({ ...fault, name: `broken${index}` }));
const CONTINUE = { strategy: 'ordered', on_stream_break: 'continue' };
const PREFILLS = ['assistant', 'prefix', 'continue_final_message'];

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: {
      ...Object.fromEntries(
        BREAKS.map(({ name, script }) => [
          name,
          { script, timeouts: { between_tokens: '300ms' }, prefill: 'assistant', breaker: 'off' },
        ]),
      ),
      ...Object.fromEntries(PREFILLS.map((prefill) => [`by-${prefill}`, { script: '', prefill }])),
      long: { script: 'seq=cut&n=100&cutat=50', prefill: 'assistant', breaker: 'off' },
    },
    routes: {
      ...Object.fromEntries(
        BREAKS.map(({ name }) => [name, { ...CONTINUE, targets: [`${name}/m`, 'by-assistant/m'] }]),
      ),
      ...Object.fromEntries(
        PREFILLS.map((prefill) => [prefill, { ...CONTINUE, targets: ['broken0/m', `by-${prefill}/m`] }]),
      ),
      'breaks-twice': { ...CONTINUE, targets: ['broken0/m', 'broken1/m', 'by-assistant/m'] },
      'long-then-good': { ...CONTINUE, targets: ['long/m', 'by-assistant/m'] },
    },
  });
});

afterAll(() => journey.stop());

/** The body of the last request that reached this provider. */
function lastBody(name: string): Record<string, unknown> & { messages: { role: string; content: string }[] } {
  return JSON.parse(journey.bodies(name).at(-1)?.toString() ?? '{}') as ReturnType<typeof lastBody>;
}

describe.each(BREAKS)('a stream that $what', ({ name, code }) => {
  test('goes on elsewhere, as the same stream', async () => {
    const response = await journey.chat(name, { stream: true });
    const { chunks, comments, errors, isDone } = await readStream(response);
    expect({ text: textOf(chunks), comments, errors, isDone, finishes: finishesOf(chunks) }).toEqual({
      text: 'token '.repeat(12),
      comments: [`sluice continued by by-assistant/m after ${code}`],
      errors: [],
      isDone: true,
      finishes: ['stop'],
    });
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.filter(({ choices }) => choices[0]?.delta.role !== undefined)).toHaveLength(1);
    expect((await journey.gateway.rowsOf(requestIdOf(response), 2)).map(brief)).toMatchObject([
      { deployment: `${name}/m`, error: code },
      { deployment: 'by-assistant/m', error: null, outputTokens: 8 },
    ]);
  });
});

test.each([
  { prefill: 'assistant', message: {}, body: {} },
  { prefill: 'prefix', message: { prefix: true }, body: {} },
  {
    prefill: 'continue_final_message',
    message: {},
    body: { continue_final_message: true, add_generation_prompt: false },
  },
])('the text so far is given in the provider’s way: $prefill', async ({ prefill, message, body }) => {
  await (await journey.chat(prefill, { stream: true, max_tokens: 100 })).text();
  const sent = lastBody(`by-${prefill}`);
  expect(sent.messages).toEqual([
    { role: 'user', content: 'Say something.' },
    { role: 'assistant', content: 'token '.repeat(4), ...message },
  ]);
  expect(sent).toMatchObject({ max_tokens: 96, stream: true, stream_options: { include_usage: true }, ...body });
});

test('a stream may break more than once', async () => {
  const response = await journey.chat('breaks-twice', { stream: true, stream_options: { include_usage: true } });
  const { chunks, comments, isDone } = await readStream(response);
  expect({ text: textOf(chunks), comments, isDone }).toEqual({
    text: 'token '.repeat(16),
    comments: [
      'sluice continued by broken1/m after upstream_cut_off',
      'sluice continued by by-assistant/m after upstream_failed',
    ],
    isDone: true,
  });
  expect(lastBody('by-assistant').messages.at(-1)?.content).toBe('token '.repeat(8));
  expect(chunks.at(-1)?.usage).toMatchObject({ completion_tokens: 8 });
  await journey.gateway.rowsOf(requestIdOf(response), 3);
});

test.each([
  { what: 'two choices', more: { n: 2 } },
  { what: 'a grammar', more: { response_format: { type: 'json_object' } } },
])('a request with $what ends with the error', async ({ more }) => {
  const { errors, isDone } = await readStream(await journey.chat('broken0', { stream: true, ...more }));
  expect({ codes: errors.map(({ code }) => code), isDone }).toEqual({ codes: ['upstream_cut_off'], isDone: false });
});

test('a plain answer that breaks was never shown: it is asked for anew', async () => {
  const response = await journey.chat('broken0');
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'token '.repeat(8) } }] });
  expect(lastBody('by-assistant').messages).toHaveLength(1);
});

test('a client that leaves while a stream goes on leaves nothing behind', async () => {
  const abort = new AbortController();
  journey.provider.configure('itl=50');
  const response = await journey.chat('long-then-good', { stream: true }, { signal: abort.signal });
  await readUntil(response.body!.getReader(), (text) => text.includes('continued'));
  abort.abort();
  await journey.provider.waitFor(({ active }) => active === 0);
  expect((await journey.gateway.rowsOf(requestIdOf(response), 2)).map(({ error }) => error)).toEqual([
    'upstream_cut_off',
    'client_closed_request',
  ]);
});
