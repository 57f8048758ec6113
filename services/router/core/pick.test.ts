import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Deployment, Resolution } from '../../../shared/catalog.ts';
import { pickOrder } from './pick.ts';

const deployment = (id: string): Deployment => ({
  id,
  provider: id,
  pool: id,
  model: 'm',
  upstreamModel: 'm',
  price: undefined,
});

function route(
  strategy: Resolution['strategy'],
  weights: Record<string, number>,
  fallbacks: string[] = [],
): Resolution {
  const targets = Object.entries(weights).map(([id, weight]) => ({ deployment: deployment(id), weight }));
  return { route: 'r', strategy, targets, fallbacks: fallbacks.map(deployment), timeoutMs: undefined };
}

const tried = (id: string, code: string): { deployment: string; worker: string; code: string } => ({
  deployment: id,
  worker: 'w',
  code,
});
const NOTHING = { tried: [], affinity: '' };
const ids = (found: readonly Deployment[]): string[] => found.map(({ id }) => id);

describe('who may still serve a request', () => {
  test.each([
    { history: [], order: ['a', 'b', 'c'], why: 'the targets, then the fallbacks' },
    { history: [tried('a', 'upstream_failed')], order: ['b', 'c'], why: 'not who has failed' },
    { history: [tried('a', 'worker_lost')], order: ['a', 'b', 'c'], why: 'who was called by a worker that died' },
    { history: [tried('b', 'worker_busy')], order: ['a', 'b', 'c'], why: 'who was not called at all' },
    {
      history: [tried('a', 'worker_lost'), tried('a', 'upstream_timeout')],
      order: ['b', 'c'],
      why: 'not who has failed at its second worker',
    },
    {
      history: ['a', 'b', 'c'].map((id) => tried(id, 'upstream_failed')),
      order: [],
      why: 'nobody, once all have failed',
    },
  ])('$why', ({ history, order }) => {
    const resolution = route('ordered', { a: 1, b: 1 }, ['c']);
    expect(ids(pickOrder(resolution, { tried: history, affinity: '' }, () => 0.5))).toEqual(order);
  });

  test('by weight, every order is a permutation of the targets with the fallbacks behind', () => {
    const random = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 4,
      maxLength: 4,
    });
    fc.assert(
      fc.property(random, (numbers) => {
        let i = 0;
        const order = ids(
          pickOrder(
            route('weighted', { a: 1, b: 1_000_000, c: 3, d: 7 }, ['x', 'y']),
            NOTHING,
            () => numbers[i++] ?? 0,
          ),
        );
        expect(order.slice(0, 4).toSorted()).toEqual(['a', 'b', 'c', 'd']);
        expect(order.slice(4)).toEqual(['x', 'y']);
      }),
    );
  });

  test('by weight, each is first as often as its weight says', () => {
    const random = seeded(7);
    const firsts = new Map<string, number>();
    const rounds = 20_000;
    for (let i = 0; i < rounds; i++) {
      const [first = ''] = ids(pickOrder(route('weighted', { a: 1, b: 3 }), NOTHING, random));
      firsts.set(first, (firsts.get(first) ?? 0) + 1);
    }
    expect((firsts.get('b') ?? 0) / rounds).toBeCloseTo(0.75, 2);
  });
});

describe('sticky', () => {
  const orderFor = (affinity: string, weights: Record<string, number>): string[] =>
    ids(pickOrder(route('sticky', weights, ['x']), { tried: [], affinity }, () => 0));
  const people = Array.from({ length: 20_000 }, (_, at) => `person ${at}`);

  test('the same affinity has always the same order, fallbacks last', () => {
    for (const person of people.slice(0, 100)) {
      const order = orderFor(person, { a: 1, b: 2, c: 3 });
      expect(orderFor(person, { c: 3, a: 1, b: 2 })).toEqual(order);
      expect(order.toSorted()).toEqual(['a', 'b', 'c', 'x']);
      expect(order.at(-1)).toBe('x');
    }
  });

  test('each target is first for as many as its weight says', () => {
    const firsts = people.filter((person) => orderFor(person, { a: 1, b: 3 })[0] === 'b');
    expect(firsts.length / people.length).toBeCloseTo(0.75, 1);
  });

  test('a target that goes moves only those who were with it', () => {
    for (const person of people.slice(0, 1_000)) {
      const order = orderFor(person, { a: 1, b: 1, c: 1 });
      expect(orderFor(person, { a: 1, b: 1 })).toEqual(order.filter((id) => id !== 'c'));
    }
  });
});

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
