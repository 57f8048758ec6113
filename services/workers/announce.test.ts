import { expect, test } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { Announcer } from './announce.ts';

const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('the changes of one turn are said once, and what comes right after them is not left unsaid', async () => {
  const said: number[] = [];
  const announcer = new Announcer(systemClock, () => said.push(systemClock.now()));
  for (let i = 0; i < 100; i++) announcer.changed();
  expect(said).toHaveLength(0);
  await new Promise(setImmediate);
  expect(said).toHaveLength(1);
  announcer.changed();
  await settle(40);
  expect(said).toHaveLength(2);
  expect((said[1] ?? 0) - (said[0] ?? 0)).toBeGreaterThanOrEqual(9);
});

test('once stopped it is silent', async () => {
  let said = 0;
  const announcer = new Announcer(systemClock, () => said++);
  announcer.changed();
  announcer.stop();
  await settle(20);
  expect(said).toBe(0);
});
