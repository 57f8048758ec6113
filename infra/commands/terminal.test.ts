import { expect, test } from 'vitest';
import { displayWidth, printable, terminalWidth } from './terminal.ts';

test.each([
  { text: 'gpt-4o', width: 6 },
  { text: '模型', width: 4 },
  { text: 'e\u0301', width: 1 },
  { text: '🚀', width: 2 },
  { text: '', width: 0 },
])('$text takes $width cells', ({ text, width }) => {
  expect(displayWidth(text)).toBe(width);
});

test('control characters and direction marks are made visible, newlines only where they are wanted', () => {
  expect(printable('a\u001b[2Jb\u202ec\nd')).toBe('a\ufffd[2Jb\ufffdc\ufffdd');
  expect(printable('a\nb', '\n')).toBe('a\nb');
});

test('COLUMNS is the width, and without a terminal there is none', () => {
  expect(terminalWidth({ COLUMNS: '72' })).toBe(72);
  expect(terminalWidth({ COLUMNS: 'wide' })).toBe(process.stdout.isTTY ? process.stdout.columns : Infinity);
});
