import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadOf, PeakEwma } from './peak-ewma.ts';

function observed(...samples: Array<[ms: number, now: number]>): PeakEwma {
  const ewma = new PeakEwma();
  for (const [ms, now] of samples) ewma.observe(ms, now);
  return ewma;
}

describe('the average', () => {
  test('there is none before the first sample, and then it is the first sample', () => {
    expect(new PeakEwma().value(1_000)).toBeUndefined();
    expect(observed([250, 1e9]).value(1e9)).toBe(250);
  });

  test('a peak counts at once', () => {
    expect(observed([100, 0], [900, 1]).value(1)).toBe(900);
  });

  test('a better sample counts as much as the time since the last one', () => {
    expect(observed([1_000, 0], [100, 10_000]).value(10_000)).toBeCloseTo(1_000 / Math.E + 100 * (1 - 1 / Math.E));
    expect(observed([1_000, 0], [100, 0]).value(0)).toBe(1_000);
    expect(observed([1_000, 0], [100, 3_600_000]).value(3_600_000)).toBeCloseTo(100);
  });

  test('it decays while nothing is observed, and reading changes nothing', () => {
    const ewma = observed([1_000, 0]);
    expect(ewma.value(100_000_000)).toBe(0);
    expect(ewma.value(10_000)).toBeCloseTo(1_000 / Math.E);
    expect(ewma.value(0)).toBe(1_000);
  });

  test('a clock that stands still or a sample out of order gains nothing', () => {
    expect(observed([1_000, 500], [100, 400]).value(400)).toBe(1_000);
  });

  test('it lies between the least and the greatest sample, and is never below the last', () => {
    const samples = fc.array(fc.record({ waitMs: fc.nat(20_000), ms: fc.integer({ min: 1, max: 60_000 }) }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(samples, (steps) => {
        const ewma = new PeakEwma();
        let now = 0;
        let greatest = 0;
        for (const { waitMs, ms } of steps) {
          ewma.observe(ms, (now += waitMs));
          greatest = Math.max(greatest, ms);
          expect(ewma.value(now)).toBeGreaterThanOrEqual(ms * (1 - 1e-9));
          expect(ewma.value(now)).toBeLessThanOrEqual(greatest);
        }
      }),
    );
  });
});

test.each([
  { ewmaMs: 100, inFlight: 0, load: 100 },
  { ewmaMs: 100, inFlight: 3, load: 400 },
  { ewmaMs: undefined, inFlight: 0, load: 0 },
  { ewmaMs: undefined, inFlight: 2, load: 1e12 + 2 },
  { ewmaMs: 0, inFlight: 0, load: 0 },
  { ewmaMs: 0, inFlight: 2, load: 1e12 + 2 },
])('$inFlight in flight at $ewmaMs ms is a load of $load', ({ ewmaMs, inFlight, load }) => {
  expect(loadOf(ewmaMs, inFlight)).toBe(load);
});
