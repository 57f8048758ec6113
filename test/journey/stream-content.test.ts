import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { finishesOf, readStream, textOf } from '../support/sse.ts';

const ODD_TEXT = '\u2028\u0085\u{1f642}\u2028 ';
const WAYS = [
  { what: 'one byte at a time', script: 'bytewise&u2028&n=3', text: `token ${ODD_TEXT}`.repeat(3) },
  ...[1, 3, 5, 6, 7, 40].map((at) => ({
    what: `in two pieces, cut after byte ${at}`,
    script: `split=${at}&n=4`,
    text: 'token '.repeat(4),
  })),
  { what: 'with CRLF', script: 'crlf', text: 'token '.repeat(8) },
  { what: 'with CRLF, one byte at a time', script: 'crlf&bytewise&n=3', text: 'token '.repeat(3) },
  { what: 'without a space after data:', script: 'nospace', text: 'token '.repeat(8) },
  { what: 'with comments between', script: 'ping', text: 'token '.repeat(8) },
  { what: 'with line separators and emoji in its text', script: 'u2028', text: `token ${ODD_TEXT}`.repeat(8) },
  { what: 'with 64-bit integers and unknown fields', script: 'bigint', text: 'token '.repeat(8) },
  { what: 'with tokens of 1 MB', script: 'n=2&toksize=1000000', text: `token ${'x'.repeat(999_994)}`.repeat(2) },
  { what: 'with 20,000 tokens', script: 'n=20000', text: 'token '.repeat(20_000) },
].map((way, index) => ({ ...way, name: `way${index}` }));

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: {
      plain: '',
      big: 'size=1000000&u2028',
      tools: 'tools&n=10',
      refusing: 'refusal',
      logprobs: 'logprobs',
      odd: 'bigint',
      ...Object.fromEntries(WAYS.map(({ name, script }) => [name, script])),
    },
  });
});

afterAll(() => journey.stop());

test.each(WAYS)('a stream $what arrives whole', async ({ name, text }) => {
  const response = await journey.chat(`${name}/m`, { stream: true });
  const { chunks, errors, isDone } = await readStream(response);
  expect({ errors, isDone, finishes: finishesOf(chunks) }).toEqual({ errors: [], isDone: true, finishes: ['stop'] });
  expect(textOf(chunks) === text).toBe(true);
});

test('comments of the provider are passed on', async () => {
  const { comments } = await readStream(
    await journey.chat(`${WAYS.find(({ script }) => script === 'ping')?.name}/m`, { stream: true }),
  );
  expect(comments).toEqual(Array<string>(8).fill('ping'));
});

test('64-bit integers in a stream are not rounded', async () => {
  const { text } = await readStream(await journey.chat('odd/m', { stream: true }));
  expect(text).toContain(
    '"x_trace_id":9223372036854775807,"x_unknown":{"z":18446744073709551615,"a":[-9007199254740993,1.0,0.10,1e2],"":null}',
  );
});

test('a plain answer of 1 MB arrives whole', async () => {
  const answer = (await (await journey.chat('big/m')).json()) as { choices: { message: { content: string } }[] };
  const content = answer.choices[0]?.message.content ?? '';
  expect(content.startsWith(ODD_TEXT) && content.length === 1_000_000 + ODD_TEXT.length).toBe(true);
});

describe('usage', () => {
  test.each([
    ['asked for', { include_usage: true }, true],
    ['not asked for', { include_usage: false }, false],
    ['asked for with null', { include_usage: null }, false],
    ['left to null options', null, false],
    ['not mentioned', undefined, false],
    ['not among the options', {}, false],
  ])('%s: the client gets it only when it asked', async (_what, options, isExpected) => {
    const response = await journey.chat('plain/m', { stream: true, stream_options: options });
    const { chunks, text } = await readStream(response);
    expect(chunks.filter(({ usage }) => usage != null)).toHaveLength(isExpected ? 1 : 0);
    expect(text.includes('"usage"')).toBe(isExpected);
  });

  test('the usage chunk comes last, with no choices', async () => {
    const { chunks } = await readStream(
      await journey.chat('plain/m', { stream: true, stream_options: { include_usage: true } }),
    );
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 8 } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  test('is in the ledger whether or not the client asked', async () => {
    const response = await journey.chat('plain/m', { stream: true });
    await response.text();
    expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toMatchObject([
      { is_estimated: false, output_tokens: 8 },
    ]);
  });
});

describe.each([true, false])('stream: %s', (stream) => {
  const contentOf = async (model: string, more: object = {}): Promise<unknown> => {
    const response = await journey.chat(model, { stream, ...more });
    return stream ? (await readStream(response)).chunks : await response.json();
  };

  test('two choices stay apart', async () => {
    const content = JSON.stringify(await contentOf('plain/m', { n: 2 }));
    expect(content.match(/"finish_reason":"stop"/g)).toHaveLength(2);
    expect(content).toContain('"index":1');
  });

  test('logprobs pass', async () => {
    expect(JSON.stringify(await contentOf('logprobs/m')).match(/"logprob":-0.105/g)).toHaveLength(8);
  });

  test('a refusal passes', async () => {
    const content = JSON.stringify(await contentOf('refusing/m'));
    expect(content).toContain(stream ? '"refusal":"token "' : `"refusal":"${'token '.repeat(8)}"`);
  });
});

test('parallel tool calls come through the SDK’s stream helper with their own arguments', async () => {
  const runner = journey.openai.chat.completions.stream({
    model: 'tools/m',
    messages: [{ role: 'user', content: 'weather and time?' }],
  });
  const completion = await runner.finalChatCompletion();
  const calls = completion.choices[0]?.message.tool_calls ?? [];
  expect(calls.map((call) => (call.type === 'function' ? [call.function.name, call.function.arguments] : []))).toEqual([
    ['get_weather', '{"q":"w1w2w3"}'],
    ['get_time', '{"q":"w1w2w3"}'],
  ]);
  expect(completion.choices[0]?.finish_reason).toBe('tool_calls');
});

test('tool calls of a plain answer pass', async () => {
  const { choices } = await journey.openai.chat.completions.create({
    model: 'tools/m',
    messages: [{ role: 'user', content: 'weather?' }],
  });
  expect(choices[0]?.message.tool_calls).toHaveLength(2);
  expect(choices[0]?.message.content).toBeNull();
});
