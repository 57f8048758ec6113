import { describe, expect, test } from 'vitest';
import type { Prefill } from '../../../shared/config.ts';
import { deploymentOf, taskHeadOf } from '../../../shared/testing/fixtures.ts';
import { openai } from './openai.ts';
import { OpenAiStream } from './openai-stream.ts';

describe('a request to go on with an answer', () => {
  const message = '{"role":"assistant","content":"The beginning"}';
  const start = '{"messages":[{"role":"user","content":"?"},';
  const body = `${start}${message}],"model":"m"}`;
  const messageEnd = start.length + message.length - 1;
  const task = taskHeadOf({ model: 'm', stream: false, continues: { id: 'c', created: 1, messageEnd } });

  test.each<{ prefill: Prefill; sent: string }>([
    { prefill: 'assistant', sent: body },
    { prefill: 'prefix', sent: body.replace('beginning"}', 'beginning","prefix":true}') },
    {
      prefill: 'continue_final_message',
      sent: body.replace('{', '{"continue_final_message":true,"add_generation_prompt":false,'),
    },
  ])('says so in the provider’s way: $prefill', ({ prefill, sent }) => {
    for (const cut of [0, 10, messageEnd, body.length]) {
      const parts = [Buffer.from(body.slice(0, cut)), Buffer.from(body.slice(cut))].filter(({ length }) => length > 0);
      expect(
        Buffer.concat([...openai.encodeRequest(task, parts, deploymentOf('p/m', { prefill })).body]).toString(),
      ).toBe(sent);
    }
  });
});

describe('a stream that goes on with another', () => {
  const chunk = (fields: object): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-2', object: 'chat.completion.chunk', created: 22, model: 'up', ...fields })}\n\n`;
  const choice = (delta: object, finish_reason: string | null = null): object => ({
    choices: [{ index: 0, delta, finish_reason }],
  });
  const read = (...events: readonly string[]): string => {
    const stream = new OpenAiStream('mine', true, { id: 'chatcmpl-1', created: 11 });
    for (const event of events) stream.push(Buffer.from(event));
    return Buffer.concat(stream.takeOutput()).toString();
  };
  const renamed = (event: string): string =>
    event.replace('"chatcmpl-2"', '"chatcmpl-1"').replace('"created":22', '"created":11').replace('"up"', '"mine"');

  test('has its name and time, and says no second time who speaks', () => {
    const events = [choice({ content: 'a' }), choice({}, 'stop'), { choices: [], usage: null }].map(chunk);
    const end = 'data: [DONE]\n\n';
    expect(read(chunk(choice({ role: 'assistant', content: '' })), ...events, end)).toBe(
      [...events.map(renamed), end].join(''),
    );
  });

  test('loses no text that comes with the role', () => {
    const event = chunk(choice({ role: 'assistant', content: 'a' }));
    expect(read(event)).toBe(renamed(event));
  });

  test('keeps an event that has neither', () => {
    const event = 'data: {"choices":[{"delta":{"content":"id created"}}]}\n\n';
    expect(read(': a comment\n\n', event)).toBe(`: a comment\n\n${event}`);
  });
});
