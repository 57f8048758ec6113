import fc from 'fast-check';
import { expect, test } from 'vitest';
import { retryAfterMs } from './retry-after.ts';

const NOW = Date.UTC(2025, 0, 1, 12, 0, 0);
const DAY = 24 * 60 * 60 * 1_000;

test.each([
  { headers: {}, ms: undefined },
  { headers: { 'retry-after': '7' }, ms: 7_000 },
  { headers: { 'retry-after': '0' }, ms: 0 },
  { headers: { 'retry-after': '0.25' }, ms: 250 },
  { headers: { 'retry-after': ' 3 ' }, ms: 3_000 },
  { headers: { 'retry-after-ms': '250', 'retry-after': '7' }, ms: 250 },
  { headers: { 'retry-after-ms': 'soon', 'retry-after': '7' }, ms: 7_000 },
  { headers: { 'retry-after': 'Wed, 01 Jan 2025 12:00:05 GMT' }, ms: 5_000 },
  { headers: { 'retry-after': 'Wednesday, 01-Jan-25 12:00:05 GMT' }, ms: 5_000 },
  { headers: { 'retry-after': 'Wed, 01 Jan 2025 11:00:00 GMT' }, ms: 0 },
  { headers: { 'retry-after': 'Fri, 01 Jan 2100 00:00:00 GMT' }, ms: DAY },
  { headers: { 'retry-after': '99999999999' }, ms: DAY },
  { headers: { 'retry-after': '1e999' }, ms: undefined },
  { headers: { 'retry-after': '-5' }, ms: undefined },
  { headers: { 'retry-after': '0x10' }, ms: undefined },
  { headers: { 'retry-after': 'in 5 minutes' }, ms: undefined },
  { headers: { 'retry-after': 'Wed, soon' }, ms: undefined },
  { headers: { 'retry-after': '' }, ms: undefined },
  { headers: { 'retry-after': ['1', '2'] }, ms: undefined },
])('$headers -> $ms', ({ headers, ms }) => {
  expect(retryAfterMs(headers, NOW)).toBe(ms);
});

test('whatever a provider says, it is nothing or a time within a day', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (one, other) => {
      const ms = retryAfterMs({ 'retry-after': one, 'retry-after-ms': other }, NOW);
      expect(ms === undefined || (ms >= 0 && ms <= DAY)).toBe(true);
    }),
  );
});
