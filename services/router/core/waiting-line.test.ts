import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Waiter } from './waiting-line.ts';
import { WaitingLines } from './waiting-line.ts';

const MAX = 3;
const POOLS = ['a', 'b', 'c'];

type Step =
  | { kind: 'add'; key: string; pools: string[]; deadline: number }
  | { kind: 'remove'; key: string }
  | { kind: 'serve'; pool: string }
  | { kind: 'expire'; now: number };

const key = fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      key,
      pools: fc.uniqueArray(fc.constantFrom(...POOLS), { minLength: 1 }),
      deadline: fc.nat({ max: 100 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('serve' as const), pool: fc.constantFrom(...POOLS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), now: fc.nat({ max: 100 }) }) },
);

test('the lines are as a slow list would keep them: first come, first served, in every line or in none', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const lines = new WaitingLines<Waiter>(MAX);
      let model: Array<Waiter & { stands: string[] }> = [];
      const inLine = (pool: string): Waiter[] => model.filter(({ stands }) => stands.includes(pool));
      for (const act of steps) {
        if (act.kind === 'add') {
          if (model.some((waiter) => waiter.key === act.key)) continue;
          const stands = act.pools.filter((pool) => inLine(pool).length < MAX);
          const position = Math.min(...stands.map((pool) => inLine(pool).length));
          const waiter = { key: act.key, pools: act.pools, deadline: act.deadline };
          expect(lines.add(waiter)).toBe(stands.length === 0 ? undefined : position);
          if (stands.length > 0) model.push({ ...waiter, stands });
        } else if (act.kind === 'remove') {
          const known = model.find((waiter) => waiter.key === act.key);
          expect(lines.remove(act.key)?.key).toBe(known?.key);
          model = model.filter((waiter) => waiter !== known);
        } else if (act.kind === 'serve') {
          const [first] = inLine(act.pool);
          expect(lines.first(act.pool)?.key).toBe(first?.key);
          if (first !== undefined) lines.remove(first.key);
          model = model.filter((waiter) => waiter !== first);
        } else {
          const expired = model.filter(({ deadline }) => deadline <= act.now).map((waiter) => waiter.key);
          expect(lines.removeExpired(act.now).map((waiter) => waiter.key)).toEqual(expired);
          model = model.filter(({ deadline }) => deadline > act.now);
        }
        expect(lines.size).toBe(model.length);
        for (const pool of POOLS) expect(lines.waitingIn(pool)).toBe(inLine(pool).length);
        expect([...lines.pools()].toSorted()).toEqual(POOLS.filter((pool) => inLine(pool).length > 0));
      }
      expect(lines.removeWhere(() => true)).toHaveLength(model.length);
      expect([...lines.pools()]).toEqual([]);
    }),
  );
});

test('who stands in two lines leaves both at once', () => {
  const lines = new WaitingLines<Waiter>(MAX);
  lines.add({ key: '1', pools: ['a', 'b'], deadline: 1 });
  lines.remove('1');
  expect(lines.first('a')).toBeUndefined();
  expect(lines.first('b')).toBeUndefined();
});
