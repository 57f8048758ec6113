import { expect, test } from 'vitest';
import { Gate } from './gate.ts';

test('so many run at once, the others in their turn, and beyond the line it refuses', async () => {
  const gate = new Gate(2, 3);
  const ends: Array<() => void> = [];
  const began: number[] = [];
  const work = (n: number): Promise<number> =>
    gate.run(async () => {
      began.push(n);
      await new Promise<void>((resolve) => ends.push(resolve));
      return n;
    });
  const all = [0, 1, 2, 3, 4].map(work);
  await expect(work(5)).rejects.toMatchObject({ code: 'overloaded' });
  expect(began).toEqual([0, 1]);
  for (let n = 0; n < 5; n++) {
    ends.shift()?.();
    await all[n];
  }
  expect(began).toEqual([0, 1, 2, 3, 4]);
});

test('what fails gives its place back', async () => {
  const gate = new Gate(1, 0);
  for (let n = 0; n < 3; n++) await expect(gate.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await gate.run(() => Promise.resolve('yes'))).toBe('yes');
});
