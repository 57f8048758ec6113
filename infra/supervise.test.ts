import { expect, test } from 'vitest';
import { createLog } from '../shared/log.ts';
import { supervise } from './supervise.ts';

const log = createLog('silent', 'test');

test('what ends right after each start is started again at once, and then after longer and longer waits', async () => {
  const startedAt: number[] = [];
  const ports: Array<number | undefined> = [];
  const five = Promise.withResolvers<void>();
  const start = (port: number | undefined) => {
    ports.push(port);
    if (startedAt.push(performance.now()) === 5) five.resolve();
    return Promise.resolve({ port: 4_222, exited: Promise.resolve('exit code 1'), stop: () => Promise.resolve() });
  };
  const supervised = await supervise('short', start, log);
  await five.promise;
  await supervised.stop();
  const waits = startedAt.slice(1).map((at, index) => at - (startedAt[index] ?? 0));
  // Timers come late, never early but for their rounding.
  [0, 99, 199, 399].forEach((leastMs, index) => expect(waits[index]).toBeGreaterThanOrEqual(leastMs));
  expect(ports).toEqual([undefined, 4_222, 4_222, 4_222, 4_222]);
});

test('a stop does not sit out the wait before the next start', async () => {
  let starts = 0;
  const failed = Promise.withResolvers<void>();
  const ending = Promise.withResolvers<string>();
  const start = () => {
    if (++starts === 1) return Promise.resolve({ port: 1, exited: ending.promise, stop: () => Promise.resolve() });
    // The next one would come after 0.8 s.
    if (starts === 5) failed.resolve();
    return Promise.reject(new Error('no'));
  };
  const supervised = await supervise('failing', start, log);
  ending.resolve('signal SIGKILL');
  await failed.promise;
  await supervised.stop();
  expect(starts).toBe(5);
});
