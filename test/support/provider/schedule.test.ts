import { afterEach, expect, test } from 'vitest';
import { Schedule } from './schedule.ts';

const schedule = new Schedule();
afterEach(() => schedule.stop());

/** Milliseconds between the time asked for and the call. */
const latenessOf = (afterMs: number): Promise<number> => {
  const at = performance.now() + afterMs;
  return new Promise((resolve) => schedule.at(at, { onDue: () => resolve(performance.now() - at) }));
};

test('nothing is early, and what is due later than a turn of the wheel is not early either', async () => {
  const lateness = await Promise.all([0, 0.3, 1, 5.5, 40, 4_150].map(latenessOf));
  for (const late of lateness) expect(late).toBeGreaterThanOrEqual(0);
  expect(Math.min(...lateness)).toBeLessThan(50);
});

test('what a callback adds for right now runs at once, not a turn of the wheel later', async () => {
  const startedAt = performance.now();
  let runs = 0;
  await new Promise<void>((resolve) => {
    const due = { onDue: () => (++runs === 20 ? resolve() : void schedule.at(performance.now() - 5, due)) };
    schedule.at(startedAt, due);
  });
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test('what is cancelled does not run, and the rest of its slot does', async () => {
  const at = performance.now() + 3;
  const cancelled = schedule.at(at, { onDue: () => expect.unreachable() });
  const kept = new Promise<void>((resolve) => schedule.at(at, { onDue: () => resolve() }));
  schedule.cancel(cancelled);
  await kept;
});
