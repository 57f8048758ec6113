import { expect, test } from 'vitest';
import { SaidText } from './said-text.ts';

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

test('what was said in pieces is one text', () => {
  const said = new SaidText();
  for (const piece of ['Hel', 'lo', ' wörld', ' 🌍']) said.add(latin1(piece));
  expect(said.text.toString()).toBe('Hello wörld 🌍');
  expect(said.bytes).toBe(Buffer.byteLength('Hello wörld 🌍'));
});

test('of a long one the beginning is kept, and the length of all', () => {
  const said = new SaidText();
  for (let i = 0; i < 2_000; i++) said.add('0123456789abcdef');
  expect(said.bytes).toBe(32_000);
  expect(said.text).toHaveLength(16 * 1024);
  expect(said.text.toString().startsWith('0123456789abcdef0')).toBe(true);
});

test('of nothing there is nothing', () => {
  expect(new SaidText().text).toHaveLength(0);
});
