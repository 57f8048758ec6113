import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlidingQuantile } from './quantile.ts';

function filled(count: number, ms: number, now: number, quantile = new SlidingQuantile()): SlidingQuantile {
  for (let i = 0; i < count; i++) quantile.observe(ms, now);
  return quantile;
}

/** A bucket's bounds are as far off as can be, but for rounding. */
const BOUND = 0.05 + 1e-9;
const relativeError = (found: number, wanted: number): number => Math.abs(found - wanted) / wanted;

function exact(durations: readonly number[], q: number): number {
  const sorted = durations.toSorted((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1]!;
}

test('it is within 5 % of the exact quantile', () => {
  const duration = fc.oneof(
    fc.double({ min: 1, max: 600_000, noNaN: true }),
    fc.double({ min: 0, max: Math.log(600_000), noNaN: true }).map((log) => Math.min(600_000, Math.exp(log))),
  );
  fc.assert(
    fc.property(
      fc.array(duration, { minLength: 20, maxLength: 400 }),
      fc.constantFrom(0.01, 0.5, 0.9, 0.95, 0.99, 1),
      (durations, q) => {
        const quantile = new SlidingQuantile();
        durations.forEach((ms, i) => quantile.observe(ms, i * 100));
        const found = quantile.quantile(q, durations.length * 100)!;
        expect(relativeError(found, exact(durations, q))).toBeLessThanOrEqual(BOUND);
      },
    ),
    { numRuns: 300 },
  );
});

test('durations beyond its range count as its ends', () => {
  expect(relativeError(filled(20, 0.001, 0).quantile(0.5, 0)!, 1)).toBeLessThanOrEqual(BOUND);
  expect(relativeError(filled(20, 1e9, 0).quantile(0.5, 0)!, 600_000)).toBeLessThanOrEqual(BOUND);
});

describe('its memory', () => {
  test('fewer than twenty samples say nothing', () => {
    expect(filled(19, 100, 0).quantile(0.95, 0)).toBeUndefined();
    expect(filled(20, 100, 0).quantile(0.95, 0)).toBeDefined();
  });

  test.each([
    { at: 0, lastMs: 89_999 },
    { at: 29_999, lastMs: 89_999 },
    { at: 30_000, lastMs: 119_999 },
  ])('what came at $at counts until $lastMs', ({ at, lastMs }) => {
    const quantile = filled(20, 100, at);
    expect(quantile.quantile(0.5, lastMs)).toBeDefined();
    expect(quantile.quantile(0.5, lastMs + 1)).toBeUndefined();
  });

  test('windows count together, and one that is used again starts empty', () => {
    const quantile = filled(10, 100, 0);
    filled(10, 100, 30_000, quantile);
    expect(quantile.quantile(0.5, 30_000)).toBeDefined();
    filled(9, 9_000, 90_000, quantile);
    expect(quantile.quantile(0.5, 90_000)).toBeUndefined();
    filled(2, 9_000, 90_000, quantile);
    expect(relativeError(quantile.quantile(0.6, 90_000)!, 9_000)).toBeLessThanOrEqual(BOUND);
    expect(relativeError(quantile.quantile(0.3, 90_000)!, 100)).toBeLessThanOrEqual(BOUND);
  });

  test('reading changes nothing', () => {
    const quantile = filled(20, 100, 0);
    expect(quantile.quantile(0.5, 1e9)).toBeUndefined();
    expect(quantile.quantile(0.5, 0)).toBeDefined();
  });
});
