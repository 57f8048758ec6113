import { expect, test } from 'vitest';
import { ServiceRate } from './service-rate.ts';

test('nothing is said before three were served', () => {
  const rate = new ServiceRate();
  rate.lineIsThere(0);
  rate.served(100);
  rate.served(200);
  expect(rate.intervalMs(200)).toBeUndefined();
  rate.served(300);
  expect(rate.intervalMs(300)).toBe(100);
});

test('only the time in which there was a line counts', () => {
  const rate = new ServiceRate();
  rate.lineIsThere(0);
  for (const at of [100, 200, 300]) rate.served(at);
  rate.lineEnded(300);
  expect(rate.intervalMs(1e6)).toBe(100);
  rate.lineIsThere(1e6);
  rate.served(1e6 + 100);
  expect(rate.intervalMs(1e6 + 100)).toBe(100);
});

test('a line that stands still says so, and one that became slower is believed', () => {
  const rate = new ServiceRate();
  rate.lineIsThere(0);
  let now = 0;
  for (let i = 0; i < 100; i++) rate.served((now += 100));
  expect(rate.intervalMs(now + 10_000)).toBe(200);
  for (let i = 0; i < 100; i++) rate.served((now += 1_000));
  expect(rate.intervalMs(now)).toBeGreaterThan(950);
  expect(rate.intervalMs(now)).toBeLessThanOrEqual(1_000);
});
