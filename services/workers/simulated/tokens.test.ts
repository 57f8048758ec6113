import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadTokenizer } from './tokens.ts';

const tokenizer = await loadTokenizer();

const piecesOf = (text: string, ends: Uint32Array): string[] =>
  Array.from(ends, (end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end));

test('all pieces together are the text, none is empty, and none ends within a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (given) => {
      const split = tokenizer.split(given, { maxTokens: Infinity });
      const pieces = piecesOf(split.text, split.ends);
      expect(pieces.join('')).toBe(given);
      expect(pieces.every((piece) => piece !== '' && piece.isWellFormed())).toBe(true);
      expect(split.isWhole).toBe(true);
      expect(split.tokens).toBe(tokenizer.count([given]));
    }),
  );
});

test('a limit shortens the text and is never passed', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), fc.nat({ max: 50 }), (given, maxTokens) => {
      const split = tokenizer.split(given, { maxTokens });
      expect(split.tokens).toBeLessThanOrEqual(maxTokens);
      expect(given.startsWith(split.text)).toBe(true);
      expect(split.isWhole).toBe(split.text === given);
      if (!split.isWhole) expect(split.tokens).toBe(maxTokens);
    }),
  );
});

test('a limit within an emoji leaves it out', () => {
  expect(tokenizer.count(['🫠'])).toBeGreaterThan(1);
  expect(tokenizer.split('🫠', { maxTokens: 1 })).toMatchObject({ text: '', tokens: 1, isWhole: false });
});

test('counts what OpenAI counts', () => {
  expect(tokenizer.count(['hello world'])).toBe(2);
  expect(tokenizer.count(['hello', ' world', ''])).toBe(2);
  expect(tokenizer.count(['<|endoftext|>'])).toBe(7);
});

test('what is beyond 16 KiB is estimated from what is before it, upward', () => {
  const sentence = 'The quick brown fox jumps over the lazy dog. ';
  const exact = 10 * 1_000;
  const estimate = tokenizer.count([sentence.repeat(1_000)]);
  expect(estimate).toBeGreaterThanOrEqual(exact);
  expect(estimate).toBeLessThan(exact * 1.2);
});
