import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

test.each([
  { text: '0s', millis: 0 },
  { text: '250ms', millis: 250 },
  { text: '30s', millis: 30_000 },
  { text: '5m', millis: 300_000 },
  { text: '2h', millis: 7_200_000 },
  { text: '7d', millis: 604_800_000 },
  { text: ' 90 s ', millis: 90_000 },
])('$text is $millis ms', ({ text, millis }) => {
  expect(parseDuration(text)).toBe(millis);
});

test.each(['', '30', 's', '1.5s', '-5s', '1m30s', '5 minutes', '5M', '5w', '1e3s', '99999999999999999d', '30ss'])(
  'refuses %j',
  (text) => {
    expect(() => parseDuration(text)).toThrow(`"${text}" is not a duration, such as 250ms, 30s, 5m, 2h or 7d`);
  },
);

test.each([
  { millis: 0, text: '0ms' },
  { millis: 999, text: '999ms' },
  { millis: 60_000, text: '1m' },
  { millis: 90_000, text: '90s' },
  { millis: 604_800_000, text: '7d' },
])('$millis ms is written $text', ({ millis, text }) => {
  expect(formatDuration(millis)).toBe(text);
});
