import { describe, expect, test } from 'vitest';
import type { Need } from '../messages/envelope.ts';
import { readChatDemand, readEmbeddingsDemand, sketchOf } from './openai-needs.ts';

type Fields = Record<string, unknown>;

const said = (content: unknown, role = 'user'): Fields => ({ role, content });
const chat = (fields: Fields): ReturnType<typeof readChatDemand> => {
  const request = { messages: [said('hi')], ...fields };
  return readChatDemand(request, Buffer.from(JSON.stringify(request)));
};
const withPart = (part: Fields): Fields => ({ messages: [said([{ type: 'text', text: 'what is this?' }, part])] });
const base64 = 'A'.repeat(4_000_000);

describe('a chat request needs', () => {
  const cases: { what: string; fields: Fields; needs: Need[] }[] = [
    { what: 'nothing', fields: {}, needs: [] },
    { what: 'no tools: an empty list', fields: { tools: [], functions: [] }, needs: [] },
    { what: 'tools', fields: { tools: [{ type: 'function', function: { name: 'f' } }] }, needs: ['tools'] },
    { what: 'tools, as they were called before', fields: { functions: [{ name: 'f' }] }, needs: ['tools'] },
    { what: 'vision', fields: withPart({ type: 'image_url', image_url: { url: 'https://x' } }), needs: ['vision'] },
    { what: 'vision, by its other name', fields: withPart({ type: 'input_image', image_url: 'x' }), needs: ['vision'] },
    { what: 'audio', fields: withPart({ type: 'input_audio', input_audio: { data: 'x' } }), needs: ['audio'] },
    { what: 'audio, to answer', fields: { modalities: ['text', 'audio'] }, needs: ['audio'] },
    { what: 'no audio, to answer in text', fields: { modalities: ['text'] }, needs: [] },
    { what: 'documents', fields: withPart({ type: 'file', file: { file_data: 'x' } }), needs: ['pdf'] },
    { what: 'a schema', fields: { response_format: { type: 'json_schema', json_schema: {} } }, needs: ['schema'] },
    { what: 'no schema for plain JSON', fields: { response_format: { type: 'json_object' } }, needs: [] },
    {
      what: 'each thing once',
      fields: {
        messages: [said([{ type: 'image_url' }, { type: 'image_url' }, { type: 'input_audio' }])],
        modalities: ['audio'],
      },
      needs: ['vision', 'audio'],
    },
    {
      what: 'nothing that makes no sense',
      fields: {
        messages: [said([null, 7, 'x', { type: 'toString' }, { type: 3 }]), said({ type: 'image_url' })],
        tools: 'many',
        modalities: 'audio',
        response_format: [],
      },
      needs: [],
    },
  ];
  test.each(cases)('$what', ({ fields, needs }) => {
    expect(chat(fields).needs).toEqual(needs);
  });
});

describe('its input tokens are', () => {
  test.each([
    {
      why: 'a quarter of the text',
      fields: { messages: [said('x'.repeat(400), 'system'), said('y'.repeat(40))] },
      tokens: 110,
    },
    {
      why: 'a quarter of the parts',
      fields: { messages: [said([{ type: 'text', text: 'x'.repeat(44) }])] },
      tokens: 11,
    },
    {
      why: 'those of calls that were made',
      fields: { messages: [{ role: 'assistant', content: null, tool_calls: [{ f: 'x'.repeat(43) }] }] },
      tokens: 11,
    },
    {
      why: 'and of the tools’ definitions',
      fields: { tools: [{ name: 'x'.repeat(100), deep: [[['y'.repeat(98)]]] }] },
      tokens: 52,
    },
    {
      why: '85 for a coarse image',
      fields: { messages: [said([{ type: 'image_url', image_url: { url: base64, detail: 'low' } }])] },
      tokens: 85,
    },
    {
      why: '85 for one by its other name',
      fields: { messages: [said([{ type: 'input_image', image_url: base64, detail: 'low' }])] },
      tokens: 85,
    },
    {
      why: '765 for any other',
      fields: { messages: [said([{ type: 'image_url', image_url: { url: base64 } }])] },
      tokens: 765,
    },
    {
      why: 'nothing for a sound or a file',
      fields: {
        messages: [
          said([
            { type: 'input_audio', input_audio: { data: base64 } },
            { type: 'file', file: { file_data: base64 } },
          ]),
        ],
      },
      tokens: 0,
    },
  ])('$why', ({ fields, tokens }) => {
    expect(chat(fields).inputTokens).toBe(tokens);
  });

  test('judged by the bytes past ten thousand parts, but never by the base64 that was seen', () => {
    const image = { type: 'image_url', image_url: { url: base64 } };
    const messages = [said([image]), ...Array.from({ length: 20_000 }, () => said('x'.repeat(80)))];
    const bytes = JSON.stringify({ messages }).length;
    const { inputTokens } = chat({ messages });
    expect(inputTokens).toBe(Math.ceil((bytes - base64.length) / 4) + 765);
  });

  test('and needs past them are found in the bytes', () => {
    const many = Array.from({ length: 10_001 }, () => said('x'));
    expect(chat({ messages: many }).needs).toEqual([]);
    expect(chat({ messages: [...many, said([{ type: 'image_url' }])] }).needs).toEqual(['vision']);
    expect(chat({ messages: [...many, said('my profile'), said('an "image_url"')] }).needs).toEqual([]);
    expect(chat({ messages: [...many, said('my profile'), said([{ type: 'file' }])] }).needs).toEqual(['pdf']);
  });
});

test('a body of millions of parts is read within a moment', () => {
  const messages = Array.from({ length: 700_000 }, () => said('x'));
  const tools = Array.from({ length: 700_000 }, () => ({ a: 1 }));
  const content = Array.from({ length: 700_000 }, () => ({ type: 'text' }));
  const deep = JSON.parse(`${'['.repeat(300_000)}${']'.repeat(300_000)}`) as unknown;
  for (const request of [
    { messages },
    { messages: [said('x')], tools },
    { messages: [said(content)] },
    { messages: [said('x')], tools: [deep] },
  ]) {
    const body = Buffer.alloc(32 * 1024 * 1024);
    const before = process.cpuUsage();
    sketchOf(readChatDemand(request, body).prompt);
    // 40 ms; a busy machine has colder caches.
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(500);
  }
});

test.each([
  { fields: {}, most: undefined },
  { fields: { max_tokens: 10 }, most: 10 },
  { fields: { max_completion_tokens: 20, max_tokens: 10 }, most: 20 },
  { fields: { max_completion_tokens: null, max_tokens: 10, n: 3 }, most: 30 },
  { fields: { max_tokens: 10, n: 0 }, most: 10 },
  { fields: { max_tokens: 10, n: '3' }, most: 10 },
  { fields: { max_tokens: 0 }, most: undefined },
  { fields: { max_tokens: -1 }, most: undefined },
  { fields: { max_tokens: 1.5 }, most: undefined },
  { fields: { max_tokens: '10' }, most: undefined },
  { fields: { max_tokens: 2 ** 52, n: 2 ** 52 }, most: Number.MAX_SAFE_INTEGER },
])('the most that it wants: $fields', ({ fields, most }) => {
  expect(chat(fields).maxOutputTokens).toBe(most);
});

describe('a sketch', () => {
  test('tells the last of the user’s words, and counts the others', () => {
    const messages = [
      said('rules', 'system'),
      said('more', 'developer'),
      said('first'),
      said('sure', 'assistant'),
      said('last'),
    ];
    const sketch = sketchOf(chat({ messages, tools: [{}, {}], response_format: { type: 'json_schema' } }).prompt);
    expect(sketch).toEqual({
      ...{ lastUser: 'last', systemChars: 9, totalChars: 22, turns: 2, tools: 2, wantsSchema: true },
    });
  });

  test('holds no more than the end of a long text, also of one in parts', () => {
    const long = `${'x'.repeat(20_000)}${'y'.repeat(10_000)}`;
    const sketched = (content: unknown): string => sketchOf(chat({ messages: [said(content)] }).prompt).lastUser;
    expect(sketched(long)).toBe(long.slice(-16_384));
    expect(
      sketched([
        { type: 'text', text: 'far away' },
        { type: 'text', text: long },
        { type: 'image_url' },
        { type: 'text', text: 'end' },
      ]),
    ).toBe(`${long}\nend`.slice(-16_384));
  });

  test.each([[[]], [[said('x', 'assistant')]], [[said(null)]], [[said({ text: 'x' })]]])(
    'of %j has no words',
    (messages) => {
      expect(sketchOf(chat({ messages }).prompt).lastUser).toBe('');
    },
  );
});

test.each([
  { input: 'abcdefgh', tokens: 2 },
  { input: ['abcd', 'efg'], tokens: 2 },
  { input: [1, 2, 3], tokens: 3 },
  { input: [[1, 2], [3]], tokens: 3 },
  { input: ['abcd', [1, 2]], tokens: 3 },
])('embeddings of $input have $tokens input tokens', ({ input, tokens }) => {
  expect(readEmbeddingsDemand(input, Buffer.alloc(7))).toEqual({
    needs: [],
    inputTokens: tokens,
    maxOutputTokens: undefined,
    bounds: { inputTokens: 7, isOpenEnded: false, outputTokens: 0, choices: 1 },
    boundedBy: [],
  });
});

test('embeddings of a million texts are judged by their bytes', () => {
  expect(readEmbeddingsDemand(Array<string>(1_000_000).fill('x'), Buffer.alloc(4_000_000)).inputTokens).toBe(1_000_000);
});

describe('a chat request is bounded', () => {
  const boundOf = (fields: Fields): ReturnType<typeof chat>['bounds'] => chat(fields).bounds;
  const plain = boundOf({}).inputTokens;

  test('by a token for each byte of it, whatever it says', () => {
    const text = '\u{1f600}' + 'ж'.repeat(1_000);
    const request = { messages: [said(text)] };
    expect(boundOf(request).inputTokens).toBeGreaterThan(Buffer.byteLength(JSON.stringify(request)));
  });

  test('by the most that images count, not by their bytes', () => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } };
    const { inputTokens, isOpenEnded } = boundOf(withPart(image));
    expect(inputTokens).toBeGreaterThan(48_000);
    expect(inputTokens).toBeLessThan(49_000);
    expect(isOpenEnded).toBe(false);
  });

  test('by what sounds and files may hold', () => {
    const sound = boundOf(withPart({ type: 'input_audio', input_audio: { data: base64, format: 'wav' } }));
    expect(sound.inputTokens - plain).toBeLessThan(200_000);
    const file = boundOf(withPart({ type: 'file', file: { file_data: base64 } }));
    expect(file.inputTokens).toBeGreaterThan(4_000_000);
    expect([sound.isOpenEnded, file.isOpenEnded]).toEqual([false, false]);
  });

  test.each([
    { what: 'a file by its id', part: { type: 'file', file: { file_id: 'file-1' } } },
    { what: 'a part that nobody here knows', part: { type: 'video_url', video_url: { url: 'https://x' } } },
  ])('by nothing but its model for $what', ({ part }) => {
    expect(boundOf(withPart(part)).isOpenEnded).toBe(true);
  });

  test('by more where tools are explained to the model', () => {
    expect(boundOf({ tools: [{ type: 'function' }] }).inputTokens).toBeGreaterThan(plain + 640);
  });

  test.each([
    { fields: {}, outputTokens: undefined, choices: 1 },
    { fields: { max_tokens: 5, n: 3 }, outputTokens: 5, choices: 3 },
    { fields: { max_completion_tokens: 7, max_tokens: 5 }, outputTokens: 7, choices: 1 },
    { fields: { max_tokens: '9', n: null }, outputTokens: undefined, choices: 1 },
    { fields: { n: '100' }, outputTokens: undefined, choices: undefined },
    { fields: { n: 0 }, outputTokens: undefined, choices: undefined },
  ])('by its own count of answers and their length: $fields', ({ fields, outputTokens, choices }) => {
    expect(boundOf(fields)).toMatchObject({ outputTokens, choices });
  });
});
