import { expect, test } from 'vitest';
import { promptTexts } from './prompt-texts.ts';

const read = (request: unknown): ReturnType<typeof promptTexts> => promptTexts(JSON.stringify(request));

test('the texts of messages, tool calls and tools are read', () => {
  const messages = [
    { role: 'system', content: 'a' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'b' },
        { type: 'text', text: 'c' },
      ],
    },
    { role: 'assistant', content: null, tool_calls: [1] },
  ];
  expect(read({ messages, tools: [2] })).toEqual({ texts: ['a', 'b', 'c', '[1]', '[2]'], markTokens: 15 });
});

test.each([
  { what: 'an image', request: { messages: [{ content: [{ type: 'image_url', image_url: {} }] }] } },
  { what: 'no messages', request: { input: 'x' } },
  { what: 'a message that is none', request: { messages: ['x'] } },
])('$what is not counted', ({ request }) => {
  expect(read(request)).toBeUndefined();
});

test('what is no JSON is not counted', () => {
  expect(promptTexts('{')).toBeUndefined();
});
