import { expect, test } from 'vitest';
import { RecentlyUsed } from './recently-used.ts';

test('of too many names the one used the longest ago is forgotten', () => {
  const used = new RecentlyUsed<number>(3);
  for (const [at, name] of ['a', 'b', 'c'].entries()) used.add(name, at);
  used.get('a');
  expect(used.add('d', 3)).toBe(3);
  expect(['a', 'b', 'c', 'd'].map((name) => used.get(name))).toEqual([0, undefined, 2, 3]);
});
