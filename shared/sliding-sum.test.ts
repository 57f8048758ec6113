import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SlidingSum } from './sliding-sum.ts';

test('it is the sum of what came in the bucket of now and the nine before it', () => {
  const events = fc.array(fc.record({ waitMs: fc.nat(400), amount: fc.nat(9) }), { maxLength: 80 });
  fc.assert(
    fc.property(events, fc.nat(1_500), (steps, silenceMs) => {
      const sliding = new SlidingSum(1_000, 10);
      const seen: Array<{ at: number; amount: number }> = [];
      let now = 0;
      const expected = (): number =>
        seen
          .filter(({ at }) => Math.floor(at / 100) > Math.floor(now / 100) - 10)
          .reduce((sum, { amount }) => sum + amount, 0);
      for (const { waitMs, amount } of steps) {
        now += waitMs;
        sliding.add(amount, now);
        seen.push({ at: now, amount });
        expect(sliding.sum(now)).toBe(expected());
      }
      now += silenceMs;
      expect(sliding.sum(now)).toBe(expected());
    }),
  );
});

test('reading changes nothing', () => {
  const sliding = new SlidingSum(1_000, 10);
  sliding.add(3, 50);
  expect(sliding.sum(10_000)).toBe(0);
  expect(sliding.sum(60)).toBe(3);
});

test('what is cleared does not come back', () => {
  const sliding = new SlidingSum(1_000, 10);
  sliding.add(3, 50);
  sliding.clear();
  expect(sliding.sum(50)).toBe(0);
  sliding.add(1, 50);
  expect(sliding.sum(50)).toBe(1);
});
