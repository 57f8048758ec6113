import { afterEach, expect, test } from 'vitest';
import { createLog } from '../../shared/log.ts';
import { SaidText } from './core/said-text.ts';
import { TokenCounter } from './token-counter.ts';

const counter = new TokenCounter(createLog('silent', 'test'));
const saying = (text: string): SaidText => {
  const said = new SaidText();
  said.add(Buffer.from(text).toString('latin1'));
  return said;
};
const prompt = Buffer.from('{"messages":[{"role":"user","content":"How do you do?"}]}');

afterEach(() => counter.stop());

test('a prompt and what was answered are counted as OpenAI’s models do', async () => {
  // "The quick brown fox": 4; "How do you do?": 5, and 4 + 3 for the message and the answer's beginning.
  expect(await counter.count(prompt, saying('The quick brown fox'))).toEqual({ input: 12, output: 4 });
});

test('the space before a word that never came is no token', async () => {
  expect(await counter.count(undefined, saying('token '.repeat(12)))).toMatchObject({ output: 12 });
});

test('of a long answer the rest is like its beginning', async () => {
  const counted = await counter.count(undefined, saying('fox '.repeat(8_192)));
  expect(counted?.input).toBeUndefined();
  expect(counted?.output).toBeGreaterThan(8_000);
  expect(counted?.output).toBeLessThan(8_400);
});

test('beyond its bound, and when it ends, it has no answer', async () => {
  const all = Array.from({ length: 257 }, () => counter.count(prompt, saying('x')));
  expect(await all[256]).toBeUndefined();
  await counter.stop();
  expect(await Promise.all(all)).toHaveLength(257);
});
