import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideAsks, IngressCount, sliceOf } from './grant.ts';

test.each([
  { available: 1_000n, need: 10n, want: 100n, ingresses: 1, slice: 100n, why: 'there is plenty' },
  { available: 1_000n, need: 10n, want: 900n, ingresses: 1, slice: 250n, why: 'a quarter is the most for one' },
  { available: 1_000n, need: 10n, want: 900n, ingresses: 5, slice: 50n, why: 'of its share' },
  { available: 100n, need: 20n, want: 90n, ingresses: 1, slice: 20n, why: 'no more than one request at the end' },
  { available: 20n, need: 20n, want: 90n, ingresses: 9, slice: 20n, why: 'the last one' },
  { available: 19n, need: 20n, want: 20n, ingresses: 1, slice: undefined, why: 'too little' },
  { available: -5n, need: 0n, want: 0n, ingresses: 1, slice: undefined, why: 'overspent' },
  { available: 5n, need: 3n, want: 1n, ingresses: 1, slice: 3n, why: 'what is wanted is at least what is needed' },
])('of $available for $ingresses: $slice ($why)', ({ available, need, want, ingresses, slice }) => {
  expect(sliceOf(available, { need, want }, ingresses)).toBe(slice);
});

describe('asks', () => {
  const balance = (limit: bigint) => ({ limit, spent: 0n, leased: 0n });
  const item = (window: string, need: bigint) => ({ window, need, want: need });

  test('what one gets is missing to the next, and what a refused one would have got is not', () => {
    const balances = new Map([
      ['a', balance(10n)],
      ['b', balance(5n)],
    ]);
    const asks = [
      [item('a', 6n), item('b', 6n)],
      [item('a', 6n), item('b', 5n)],
      [item('a', 6n)],
      [item('a', 2n), item('a', 2n)],
    ];
    expect(decideAsks(asks, balances, 1)).toEqual([
      { refusedAt: 1 },
      { slices: [6n, 5n] },
      { refusedAt: 0 },
      { slices: [2n, 2n] },
    ]);
  });

  const amount = fc.bigInt({ min: 0n, max: 50n });
  const anItem = fc.record({ window: fc.constantFrom('a', 'b', 'c'), need: amount, want: amount });

  test('no window gives more than it has, and nobody gets less than they need', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anItem, { maxLength: 4 })), fc.nat({ max: 8 }), (asks, ingresses) => {
        const balances = new Map(['a', 'b', 'c'].map((name) => [name, { limit: 100n, spent: 20n, leased: 30n }]));
        const given = new Map<string, bigint>();
        for (const [index, decision] of decideAsks(asks, balances, ingresses).entries()) {
          if ('refusedAt' in decision) continue;
          for (const [position, slice] of decision.slices.entries()) {
            const asked = asks[index]?.[position];
            if (asked === undefined) throw new Error('a slice of nothing');
            expect(slice).toBeGreaterThanOrEqual(asked.need);
            given.set(asked.window, (given.get(asked.window) ?? 0n) + slice);
          }
        }
        for (const sum of given.values()) expect(sum).toBeLessThanOrEqual(50n);
      }),
    );
  });
});

test('ingresses are counted while they are heard of', () => {
  const count = new IngressCount();
  expect(count.at(0)).toBe(1);
  count.seen('a', 0);
  count.seen('b', 20_000);
  expect(count.at(20_000)).toBe(2);
  expect(count.at(30_000)).toBe(1);
  expect(count.at(90_000)).toBe(1);
});
