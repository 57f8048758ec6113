import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RetryBudget } from './retry-budget.ts';

const withdrawAll = (budget: RetryBudget, now: number): number => {
  let count = 0;
  while (count < 1_000 && budget.tryWithdraw(now)) count++;
  return count;
};

describe('how many retries', () => {
  test.each([
    { ratio: 0.2, minPerSecond: 0, requests: 0, retries: 0 },
    { ratio: 0.2, minPerSecond: 0, requests: 4, retries: 0 },
    { ratio: 0.2, minPerSecond: 0, requests: 5, retries: 1 },
    { ratio: 0.1, minPerSecond: 0, requests: 10, retries: 1 },
    { ratio: 0.2, minPerSecond: 0, requests: 100, retries: 20 },
    { ratio: 0.2, minPerSecond: 3, requests: 0, retries: 30 },
    { ratio: 0.2, minPerSecond: 3, requests: 10, retries: 32 },
    { ratio: 0, minPerSecond: 1, requests: 100, retries: 10 },
    { ratio: 2, minPerSecond: 0, requests: 3, retries: 6 },
  ])('$requests requests at $ratio, $minPerSecond a second free: $retries', ({ requests, retries, ...config }) => {
    const budget = new RetryBudget(config);
    for (let i = 0; i < requests; i++) budget.deposit(0);
    expect(withdrawAll(budget, 0)).toBe(retries);
  });

  test('a deposit is worth something for ten seconds', () => {
    const budget = new RetryBudget({ ratio: 1, minPerSecond: 0 });
    for (let i = 0; i < 3; i++) budget.deposit(500);
    expect(budget.tryWithdraw(9_999)).toBe(true);
    expect(budget.tryWithdraw(10_000)).toBe(false);
  });

  test('the free ones come back ten seconds after they were used', () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 1 });
    expect(withdrawAll(budget, 0)).toBe(10);
    expect(withdrawAll(budget, 9_999)).toBe(0);
    expect(withdrawAll(budget, 10_000)).toBe(10);
  });
});

test('within any ten seconds, retries are at most the reserve and their share of the requests', () => {
  const configs = fc.record({ ratio: fc.constantFrom(0, 0.1, 0.2, 1, 1.5), minPerSecond: fc.nat(3) });
  const steps = fc.array(fc.record({ waitMs: fc.nat(1_200), requests: fc.nat(12), wanted: fc.nat(8) }), {
    maxLength: 80,
  });
  fc.assert(
    fc.property(configs, steps, (config, played) => {
      const budget = new RetryBudget(config);
      const seen: Array<{ second: number; requests: number; retries: number }> = [];
      let now = 0;
      for (const { waitMs, requests, wanted } of played) {
        now += waitMs;
        const second = Math.floor(now / 1_000);
        for (let i = 0; i < requests; i++) budget.deposit(now);
        const entry = { second, requests, retries: 0 };
        seen.push(entry);
        const window = seen.filter((old) => old.second > second - 10);
        const sumOf = (of: 'requests' | 'retries'): number => window.reduce((sum, old) => sum + old[of], 0);
        const allowed = config.minPerSecond * 10 + config.ratio * sumOf('requests');
        for (let i = 0; i < wanted; i++) {
          const isPaid = budget.tryWithdraw(now);
          // Neither more than allowed nor refused while there is some.
          expect(isPaid).toBe(sumOf('retries') + 1 <= allowed + 1e-9);
          if (isPaid) entry.retries++;
        }
      }
    }),
  );
});
