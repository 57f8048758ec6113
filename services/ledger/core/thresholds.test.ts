import { expect, test } from 'vitest';
import { crosses } from './thresholds.ts';

test.each([
  { before: 0n, after: 49n, crossed: false, why: 'below all of them' },
  { before: 49n, after: 50n, crossed: true, why: 'to the first' },
  { before: 50n, after: 79n, crossed: false, why: 'between two' },
  { before: 10n, after: 200n, crossed: true, why: 'over both' },
  { before: 100n, after: 101n, crossed: false, why: 'beyond all of them' },
  { before: 90n, after: 60n, crossed: false, why: 'downwards' },
])('from $before to $after of 100: $crossed ($why)', ({ before, after, crossed }) => {
  expect(crosses([50, 80], 100n, { before, after })).toBe(crossed);
});
