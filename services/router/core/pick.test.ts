import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Deployment, Resolution, Target } from '../../../shared/catalog.ts';
import type { RouteStrategy, Tier } from '../../../shared/config.ts';
import { DEFAULT_POLICY } from '../../../shared/config.ts';
import type { Price } from '../../../shared/pricing.ts';
import { deploymentOf } from '../../../shared/testing/fixtures.ts';
import { seeded } from '../../../shared/testing/seeded.ts';
import type { Asked } from './pick.ts';
import { inOrder, isSettledChoice, targetsOf } from './pick.ts';

interface TargetFields {
  readonly weight?: number;
  readonly tier?: Tier;
  readonly price?: Price;
}

function targets(fields: Record<string, TargetFields>): Target[] {
  return Object.entries(fields).map(([id, { weight = 1, tier, price }]) => ({
    deployment: deploymentOf(id, { price }),
    weight,
    tier,
  }));
}

const ASKED: Asked = { affinity: '', inputTokens: 100, outputTokens: 100, tier: undefined };

function order(
  strategy: RouteStrategy,
  of: readonly Target[],
  { asked = {}, loads = {}, unready = [], random = seeded(1) }: Options = {},
): string[] {
  const loadOf = (id: string): number => loads[id] ?? 0;
  const isReady = ({ id }: Deployment): boolean => !unready.includes(id);
  return [...inOrder(strategy, of, { ...ASKED, ...asked }, { loadOf, random, isReady })].map(
    ({ deployment }) => deployment.id,
  );
}

interface Options {
  readonly asked?: Partial<Asked>;
  readonly loads?: Record<string, number>;
  readonly unready?: readonly string[];
  readonly random?: () => number;
}

/** How often each target is first. */
function firsts(rounds: number, next: () => string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < rounds; i++) {
    const [first = ''] = next();
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  return counts;
}

const STRATEGIES = ['peak_ewma', 'weighted', 'ordered', 'cheapest', 'complexity', 'sticky'] as const;

describe('every strategy', () => {
  test.each(STRATEGIES)('%s orders all targets, each once, without those that are not ready', (strategy) => {
    const tiers = [undefined, 'simple', 'medium', 'complex'] as const;
    const target = fc.record({ weight: fc.integer({ min: 1, max: 9 }), tier: fc.constantFrom(...tiers) });
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(target, { maxLength: 9 }),
        fc.array(random, { minLength: 32, maxLength: 32 }),
        fc.string(),
        (list, numbers, affinity) => {
          let at = 0;
          const all = list.map(({ weight, tier }, i) => ({ deployment: deploymentOf(`d${i}`), weight, tier }));
          const found = order(strategy, all, { asked: { affinity }, random: () => numbers[at++ % 32] ?? 0 });
          expect(found.toSorted()).toEqual(all.map(({ deployment }) => deployment.id).toSorted());
          const unready = found.filter((id) => id.length % 2 === 0 && id > 'd3');
          at = 0;
          const random = (): number => numbers[at++ % 32] ?? 0;
          const ready = order(strategy, all, { asked: { affinity }, random, unready });
          expect(ready.toSorted()).toEqual(found.filter((id) => !unready.includes(id)).toSorted());
        },
      ),
    );
  });
});

test('ordered: as they stand', () => {
  expect(order('ordered', targets({ b: {}, a: {}, c: {} }))).toEqual(['b', 'a', 'c']);
});

test('weighted: each is first as often as its weight says', () => {
  const random = seeded(7);
  const counts = firsts(20_000, () => order('weighted', targets({ a: {}, b: { weight: 3 } }), { random }));
  expect((counts.get('b') ?? 0) / 20_000).toBeCloseTo(0.75, 2);
});

describe('peak_ewma', () => {
  test('of two, the less loaded one is first', () => {
    for (let i = 0; i < 20; i++) {
      expect(order('peak_ewma', targets({ a: {}, b: {} }), { loads: { a: 5, b: 9 }, random: seeded(i) })).toEqual([
        'a',
        'b',
      ]);
    }
  });

  test('the most loaded of many is never first, the least loaded in two of n', () => {
    const random = seeded(3);
    const of = targets({ a: {}, b: {}, c: {}, d: {} });
    const counts = firsts(20_000, () => order('peak_ewma', of, { loads: { a: 1, b: 2, c: 3, d: 4 }, random }));
    expect(counts.get('d')).toBeUndefined();
    expect((counts.get('a') ?? 0) / 20_000).toBeCloseTo(2 / 4, 2);
  });

  test('a weight of two bears twice the load', () => {
    const of = targets({ a: {}, b: { weight: 2 } });
    expect(order('peak_ewma', of, { loads: { a: 10, b: 19 } })[0]).toBe('b');
    expect(order('peak_ewma', of, { loads: { a: 10, b: 21 } })[0]).toBe('a');
  });

  test('idle ones share', () => {
    const random = seeded(5);
    const counts = firsts(10_000, () => order('peak_ewma', targets({ a: {}, b: {} }), { random }));
    expect((counts.get('a') ?? 0) / 10_000).toBeCloseTo(0.5, 1);
  });
});

describe('cheapest', () => {
  const price = (input: number, output: number): Price => ({ input: input * 1e9, output: output * 1e9 });

  test('by what this request would cost: another is cheapest for another', () => {
    const of = targets({ a: { price: price(1, 10) }, b: { price: price(5, 1) }, unpriced: {} });
    const long = { inputTokens: 10_000, outputTokens: 10 };
    const short = { inputTokens: 10, outputTokens: 10_000 };
    expect(order('cheapest', of, { asked: long })).toEqual(['a', 'b', 'unpriced']);
    expect(order('cheapest', of, { asked: short })).toEqual(['b', 'a', 'unpriced']);
  });

  test('with the rates that an input of this length has', () => {
    const tiers = [{ aboveInputTokens: 1_000, ...price(9, 9) }];
    const of = targets({ tiered: { price: { ...price(1, 1), tiers } }, flat: { price: price(2, 2) } });
    expect(order('cheapest', of, { asked: { inputTokens: 1_000 } })).toEqual(['tiered', 'flat']);
    expect(order('cheapest', of, { asked: { inputTokens: 1_001 } })).toEqual(['flat', 'tiered']);
  });

  test('of two that cost the same, the less loaded one', () => {
    const of = targets({ a: { price: price(1, 1) }, b: { price: price(1, 1) } });
    expect(order('cheapest', of, { loads: { a: 2, b: 1 } })).toEqual(['b', 'a']);
  });
});

describe('complexity', () => {
  const of = targets({ s: { tier: 'simple' }, m: { tier: 'medium' }, c: { tier: 'complex' } });

  test.each([
    { tier: 'simple', expected: ['s', 'm', 'c'] },
    { tier: 'medium', expected: ['m', 'c', 's'] },
    { tier: 'complex', expected: ['c', 'm', 's'] },
    // Nobody knows how hard it is: rather too good than too bad.
    { tier: undefined, expected: ['c', 'm', 's'] },
  ] as const)('$tier: its own tier, then harder ones, then easier ones', ({ tier, expected }) => {
    expect(order('complexity', of, { asked: { tier } })).toEqual(expected);
  });

  test('a target without a tier is for all', () => {
    const both = [...targets({ all: {} }), ...of];
    expect(order('complexity', both, { asked: { tier: 'complex' }, loads: { c: 1 } })).toEqual(['all', 'c', 'm', 's']);
  });
});

describe('sticky', () => {
  const people = Array.from({ length: 20_000 }, (_, at) => `person ${at}`);
  const orderFor = (affinity: string, weights: Record<string, number>): string[] => {
    const of = Object.entries(weights).map(([id, weight]) => ({
      deployment: deploymentOf(id),
      weight,
      tier: undefined,
    }));
    return order('sticky', of, { asked: { affinity } });
  };

  test('the same affinity has always the same order', () => {
    for (const person of people.slice(0, 100)) {
      expect(orderFor(person, { c: 3, a: 1, b: 2 })).toEqual(orderFor(person, { a: 1, b: 2, c: 3 }));
    }
  });

  test('each target is first for as many as its weight says', () => {
    const found = people.filter((person) => orderFor(person, { a: 1, b: 3 })[0] === 'b');
    expect(found.length / people.length).toBeCloseTo(0.75, 1);
  });

  test('a target that goes moves only those who were with it', () => {
    for (const person of people.slice(0, 1_000)) {
      const three = orderFor(person, { a: 1, b: 1, c: 1 });
      expect(orderFor(person, { a: 1, b: 1 })).toEqual(three.filter((id) => id !== 'c'));
    }
  });
});

describe('a split route', () => {
  const variants = [
    { name: 'control', weight: 9, targets: targets({ a: {} }) },
    { name: 'candidate', weight: 1, targets: targets({ b: {} }) },
  ];
  const variantOf = (affinity: string, route = 'r'): string | undefined =>
    targetsOf({ route, targets: [], variants }, affinity).variant;
  const people = Array.from({ length: 20_000 }, (_, at) => `person ${at}`);

  test('gives each user the targets of one variant, always the same, as the weights say', () => {
    const candidates = people.filter((person) => variantOf(person) === 'candidate');
    expect(candidates.length / people.length).toBeCloseTo(0.1, 2);
    for (const person of candidates.slice(0, 50)) {
      expect(variantOf(person)).toBe('candidate');
      expect(targetsOf({ route: 'r', targets: [], variants }, person).targets).toBe(variants[1]?.targets);
    }
  });

  test('shares people out anew for each route: one experiment does not choose the people of another', () => {
    const inBoth = people.filter(
      (person) => variantOf(person) === 'candidate' && variantOf(person, 's') === 'candidate',
    );
    expect(inBoth.length / people.length).toBeCloseTo(0.01, 2);
  });

  test('a route that is not split has its targets', () => {
    const of = targets({ a: {} });
    expect(targetsOf({ route: 'r', targets: of, variants: [] }, 'x')).toEqual({ targets: of, variant: undefined });
  });
});

test('a choice is settled where the next request would be given the same', () => {
  const resolution = (strategy: RouteStrategy, count: number, variants: Resolution['variants'] = []): Resolution => ({
    ...{ route: 'r', policy: { ...DEFAULT_POLICY, strategy }, variants, fallbacks: [] },
    targets: targets(Object.fromEntries(Array.from({ length: count }, (_, at) => [`d${at}`, {}]))),
    complexity: { medium: 0.3, complex: 0.6, teams: new Map() },
  });
  expect(isSettledChoice(resolution('ordered', 3))).toBe(true);
  expect(isSettledChoice(resolution('peak_ewma', 1))).toBe(true);
  expect(isSettledChoice(resolution('peak_ewma', 2))).toBe(false);
  expect(isSettledChoice(resolution('ordered', 1, [{ name: 'v', weight: 1, targets: [] }]))).toBe(false);
});
