import { expect, test } from 'vitest';
import { formatSize, parseSize } from './size.ts';

test.each([
  { text: '100B', bytes: 100 },
  { text: '512KiB', bytes: 524_288 },
  { text: '32MiB', bytes: 33_554_432 },
  { text: '1 GiB', bytes: 1_073_741_824 },
])('$text is $bytes bytes', ({ text, bytes }) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', '32', '32MB', '32mib', '1.5MiB', '-1KiB', '32M', '99999999999999GiB'])('refuses %j', (text) => {
  expect(() => parseSize(text)).toThrow(`"${text}" is not a size, such as 512KiB or 32MiB`);
});

test.each([
  { bytes: 100, text: '100B' },
  { bytes: 1_536, text: '1536B' },
  { bytes: 33_554_432, text: '32MiB' },
])('$bytes bytes are written $text', ({ bytes, text }) => {
  expect(formatSize(bytes)).toBe(text);
});
