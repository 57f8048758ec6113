import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { ChurnMap } from './churn-map.ts';

test('what was added is found under its number until it is deleted', () => {
  const map = new ChurnMap<string>();
  const [a, b] = [map.add('a'), map.add('b')];
  expect([map.get(a), map.get(b), map.size]).toEqual(['a', 'b', 2]);
  expect(map.delete(a)).toBe(true);
  expect(map.delete(a)).toBe(false);
  expect([map.get(a), map.get(b), map.size]).toEqual([undefined, 'b', 1]);
});

test('a number that somebody else gave holds one value', () => {
  const map = new ChurnMap<string>();
  map.set(7, 'a');
  map.set(7, 'b');
  expect([map.get(7), map.size, map.values()]).toEqual(['b', 1, ['b']]);
});

test('the numbers that are given pass over those that are taken', () => {
  const map = new ChurnMap<string>();
  map.set(2, 'taken');
  expect([map.add('first'), map.add('second')]).toEqual([1, 3]);
});

test('the values are a copy, the oldest first', () => {
  const map = new ChurnMap<string>();
  const [a, b] = [map.add('a'), map.add('b'), map.add('c')];
  map.delete(b ?? 0);
  map.add('d');
  expect(map.first()).toBe('a');
  for (const value of map.values()) map.delete(value === 'a' ? (a ?? 0) : 0);
  expect(map.values()).toEqual(['c', 'd']);
  expect(map.first()).toBe('c');
  expect(new ChurnMap<string>().first()).toBeUndefined();
});

const LIVE = 64;
interface Entry {
  readonly parts: number[];
}

/** Of each entry that came and went, what the old generation grew by; an entry goes when sixty-four have come after it. */
function promotedBytes(churn: (entry: Entry) => void): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'major' | 'minor' }) => void;
  const used = (): number =>
    getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')?.space_used_size ?? 0;
  const run = (entries: number): void => {
    for (let n = 1; n <= entries; n++) {
      churn({ parts: Array.from({ length: 100 }, () => n) });
      // Nobody is here at two of these.
      if (n % (3 * LIVE) === 0) collect({ type: 'minor' });
    }
  };
  // Its table is old by then, and the code compiled.
  run(5_000);
  collect({ type: 'major' });
  run(1_000);
  const before = used();
  run(10_000);
  return (used() - before) / 10_000;
}

test('what has gone is garbage for the young collections, as it is not in a Map', () => {
  const ours = new ChurnMap<Entry>();
  const map = new Map<number, Entry>();
  let last = 0;
  const inMap = promotedBytes((entry) => {
    map.set(++last, entry);
    map.delete(last - LIVE);
  });
  expect(inMap).toBeGreaterThan(400);
  expect(promotedBytes((entry) => void ours.delete(ours.add(entry) - LIVE))).toBeLessThan(inMap / 10);
});
