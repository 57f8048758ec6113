import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lane, Waiter } from './fair-lines.ts';
import { FairLines } from './fair-lines.ts';

/** `p1` is a deployment of pool `p`. */
const deploymentsOf = (ids: readonly string[]): Waiter['deployments'] => ids.map((id) => ({ id, pool: id.charAt(0) }));
const EVERY = (): boolean => true;

let keys = 0;
function waiter(tenant: string, ids: string[] = ['p1'], more: Partial<Waiter> = {}): Waiter {
  const base = { key: `${tenant}${++keys}`, deadline: 1_000, since: 0, weight: 1, lane: 'interactive' as const };
  return { ...base, tenant, deployments: deploymentsOf(ids), ...more };
}

const linesOf = (...waiters: Waiter[]): FairLines<Waiter> => {
  const lines = new FairLines<Waiter>({ maxPerPool: 10_000 });
  for (const one of waiters) lines.add(one);
  return lines;
};
const times = (count: number, make: () => Waiter): Waiter[] => Array.from({ length: count }, make);

/** Gives `count` slots of the pool away, one after another. */
function serve(
  lines: FairLines<Waiter>,
  count: number,
  pool = 'p',
  isUsable: (id: string) => boolean = EVERY,
): Waiter[] {
  const served: Waiter[] = [];
  for (let i = 0; i < count; i++) {
    const next = lines.next(pool, isUsable);
    if (next === undefined) break;
    expect(lines.served(next.waiter.key, pool)).toBe(next.waiter);
    served.push(next.waiter);
  }
  return served;
}
const tenants = (served: readonly Waiter[]): string => served.map(({ tenant }) => tenant).join('');

describe('between tenants', () => {
  test('one tenant alone is served first come, first served', () => {
    const waiters = times(50, () => waiter('a'));
    expect(serve(linesOf(...waiters), 100)).toEqual(waiters);
  });

  test('weights 1 and 3 get slots 1:3 while both wait', () => {
    const lines = linesOf(...times(40, () => waiter('a')), ...times(40, () => waiter('b', ['p1'], { weight: 3 })));
    for (let round = 0; round < 10; round++) expect([...tenants(serve(lines, 4))].toSorted().join('')).toBe('abbb');
  });

  test('who comes late has its share at once, and no credit for its absence', () => {
    const lines = linesOf(...times(200, () => waiter('a')));
    serve(lines, 100);
    for (const one of times(50, () => waiter('b'))) lines.add(one);
    expect(tenants(serve(lines, 8))).toMatch(/^(ab|ba){4}$/);
  });

  test('who comes back has no new turn for having been away', () => {
    const lines = linesOf(...times(200, () => waiter('a')), waiter('b', ['p1'], { weight: 0.1 }));
    expect(tenants(serve(lines, 2))).toBe('ab');
    lines.add(waiter('b', ['p1'], { weight: 0.1 }));
    expect(tenants(serve(lines, 11))).toBe('aaaaaaaaaab');
  });

  test('a thousand of one tenant delay another by one turn', () => {
    const lines = linesOf(...times(1_000, () => waiter('a')));
    serve(lines, 10);
    lines.add(waiter('b'));
    expect(tenants(serve(lines, 2))).toContain('b');
  });

  test('who leaves unserved has paid nothing', () => {
    const [first, second] = [waiter('b'), waiter('b')];
    const lines = linesOf(first, second, ...times(9, () => waiter('a')), waiter('b'), waiter('b'));
    lines.remove(first.key);
    lines.remove(second.key);
    expect(tenants(serve(lines, 4))).toMatch(/^(ab|ba){2}$/);
  });

  test('each pool has its own account', () => {
    const lines = linesOf(...times(20, () => waiter('a', ['p1', 'q1'])), ...times(20, () => waiter('b', ['q1'])));
    expect(tenants(serve(lines, 10))).toBe('aaaaaaaaaa');
    expect(tenants(serve(lines, 4, 'q'))).toMatch(/^(ab|ba){2}$/);
  });
});

describe('between lanes', () => {
  test('interactive goes before batch, whoever came first and however long', () => {
    const lines = linesOf(...times(5, () => waiter('a', ['p1'], { lane: 'batch', weight: 100 })));
    for (const one of times(50, () => waiter('b'))) lines.add(one);
    expect(tenants(serve(lines, 52))).toBe(`${'b'.repeat(50)}aa`);
    lines.add(waiter('b'));
    expect(tenants(serve(lines, 10))).toBe('baaa');
  });

  test('batch goes where interactive cannot', () => {
    const lines = linesOf(waiter('a', ['p1']), waiter('b', ['p2'], { lane: 'batch' }));
    expect(tenants(serve(lines, 5, 'p', (id) => id === 'p2'))).toBe('b');
  });

  test('they are counted apart', () => {
    const lines = linesOf(waiter('a'), waiter('a'), waiter('a', ['p1', 'q1'], { lane: 'batch' }));
    expect([lines.waiting('p', 'interactive'), lines.waiting('p', 'batch'), lines.waitingIn('p')]).toEqual([2, 1, 3]);
    expect([lines.waiting('q', 'interactive'), lines.waiting('q', 'batch'), lines.waitingIn('r')]).toEqual([0, 1, 0]);
    expect([lines.waitingFor('p1'), lines.waitingFor('q1'), lines.waitingFor('r1'), lines.size]).toEqual([3, 1, 0, 3]);
  });
});

describe('between deployments of one pool', () => {
  test('those of an unusable one stand in nobody’s way', () => {
    const lines = linesOf(...times(5, () => waiter('a', ['p1'])), ...times(5, () => waiter('a', ['p2'])));
    const served = serve(lines, 10, 'p', (id) => id === 'p2');
    expect(served.map(({ deployments }) => deployments[0]?.id)).toEqual(['p2', 'p2', 'p2', 'p2', 'p2']);
    expect(lines.waitingFor('p1')).toBe(5);
  });

  test('who stands in two lines is served once, where it would rather be', () => {
    const lines = linesOf(waiter('a', ['p1', 'p2', 'q1']));
    expect(lines.next('p', EVERY)?.deployment.id).toBe('p1');
    expect(lines.next('p', (id) => id !== 'p1')?.deployment.id).toBe('p2');
    expect(lines.next('q', EVERY)?.deployment.id).toBe('q1');
    expect(serve(lines, 3, 'q')).toHaveLength(1);
    expect(lines.next('p', EVERY)).toBeUndefined();
    expect([...lines.pools(), lines.size]).toEqual([0]);
  });

  test('who could not be served for a while does not get that time back', () => {
    const lines = linesOf(...times(60, () => waiter('a', ['p1'])), ...times(200, () => waiter('b', ['p2'])));
    serve(lines, 100, 'p', (id) => id === 'p2');
    lines.add(waiter('a', ['p2']));
    const share = tenants(serve(lines, 20)).replaceAll('b', '').length;
    expect(Math.abs(share - 10)).toBeLessThanOrEqual(1);
  });
});

describe('bounds', () => {
  test('a pool that is full takes nobody, another pool does', () => {
    const lines = new FairLines<Waiter>({ maxPerPool: 2 });
    expect(lines.add(waiter('a', ['p1', 'p2']))).toBe(0);
    expect(lines.add(waiter('a', ['p1'], { lane: 'batch' }))).toBe(1);
    expect(lines.add(waiter('a', ['p1', 'p2']))).toBeUndefined();
    expect(lines.add(waiter('a', ['p1', 'q1']))).toBe(0);
    expect([lines.size, lines.waitingIn('p'), lines.waitingIn('q')]).toEqual([3, 2, 1]);
    expect(lines.add(waiter('a', []))).toBeUndefined();
  });

  test('the position counts the same and the better lane, in the emptiest pool', () => {
    const lines = linesOf(
      waiter('a'),
      waiter('a', ['p1'], { lane: 'batch' }),
      waiter('b', ['q1']),
      waiter('b', ['q1']),
    );
    expect(lines.add(waiter('c', ['p1', 'q1']))).toBe(1);
    expect(lines.add(waiter('c', ['p1', 'q1'], { lane: 'batch' }))).toBe(3);
  });

  test('a key that waits already is replaced', () => {
    const lines = linesOf(waiter('a', ['p1'], { key: 'x' }), waiter('b', ['q1'], { key: 'x' }));
    expect([lines.size, lines.waitingIn('p'), lines.waitingIn('q')]).toEqual([1, 0, 1]);
  });

  test.each([
    { people: 1, why: 'all of one tenant' },
    { people: 10_000, why: 'each its own tenant' },
  ])('10,000 in a pool of 4 deployments are all served, $why', ({ people }) => {
    const ids = Array.from({ length: 4 }, (_, at) => `p${at}`);
    const lines = new FairLines<Waiter>({ maxPerPool: 10_000 });
    for (let i = 0; i < 10_000; i++) lines.add(waiter(`${i % people}`, ids, { weight: 1 + (i % 7), deadline: i }));
    // A sweep that finds nobody is as good as free.
    for (let i = 0; i < 10_000; i++) lines.removeExpired(-1);
    const served = new Set<Waiter>();
    for (let next = lines.next('p', EVERY); next !== undefined; next = lines.next('p', EVERY)) {
      served.add(next.waiter);
      lines.served(next.waiter.key, 'p');
    }
    expect(served.size).toBe(10_000);
  });
});

describe('against a slow obvious model', () => {
  type Step =
    | { kind: 'add'; waiter: Waiter }
    | { kind: 'serve'; pool: string; usable: string[] }
    | { kind: 'remove'; key: string }
    | { kind: 'expire'; now: number };

  const IDS = ['p1', 'p2', 'p3', 'q1', 'q2'];
  const MAX = 12;
  const key = fc.integer({ min: 1, max: 30 }).map(String);
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        waiter: fc.record({
          key,
          deployments: fc.uniqueArray(fc.constantFrom(...IDS), { minLength: 1, maxLength: 3 }).map(deploymentsOf),
          deadline: fc.nat({ max: 100 }),
          since: fc.constant(0),
          tenant: fc.constantFrom('a', 'b', 'c', 'd'),
          // Powers of two, so that tags are exact and the model may keep them in its own way.
          weight: fc.constantFrom(0.25, 1, 2, 4),
          lane: fc.constantFrom('interactive', 'interactive', 'batch'),
        }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('serve' as const),
        pool: fc.constantFrom('p', 'p', 'q'),
        usable: fc.subarray(IDS, { minLength: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), now: fc.nat({ max: 40 }) }) },
  );

  /** Keeps everybody in one list, and every tag for ever. */
  class Model {
    waiters: Array<{ waiter: Waiter; stands: string[] }> = [];
    finish = new Map<string, number>();
    virtualTime = new Map<string, number>();

    in(pool: string, lane?: Lane): Waiter[] {
      const stands = this.waiters.filter((one) => one.stands.includes(pool)).map((one) => one.waiter);
      return stands.filter((one) => lane === undefined || one.lane === lane);
    }

    add(waiter: Waiter): number | undefined {
      this.remove([waiter.key]);
      const stands = [...new Set(waiter.deployments.map(({ pool }) => pool))].filter(
        (pool) => this.in(pool).length < MAX,
      );
      if (stands.length === 0) return undefined;
      for (const pool of stands) {
        const flow = `${pool} ${waiter.lane} ${waiter.tenant}`;
        if (this.in(pool, waiter.lane).some(({ tenant }) => tenant === waiter.tenant)) continue;
        const time = this.virtualTime.get(`${pool} ${waiter.lane}`) ?? 0;
        this.finish.set(flow, Math.max(time, this.finish.get(flow) ?? 0));
      }
      const ahead = (pool: string): number =>
        this.in(pool, 'interactive').length + (waiter.lane === 'batch' ? this.in(pool, 'batch').length : 0);
      const position = Math.min(...stands.map(ahead));
      this.waiters.push({ waiter, stands });
      return position;
    }

    next(pool: string, usable: string[]): Waiter | undefined {
      const able = this.in(pool).filter(({ deployments }) =>
        deployments.some((own) => own.pool === pool && usable.includes(own.id)),
      );
      const lane = able.some((one) => one.lane === 'interactive') ? 'interactive' : 'batch';
      const tag = (one: Waiter): number => this.finish.get(`${pool} ${lane} ${one.tenant}`) ?? 0;
      // The sort is stable: ties stay in the order of arrival.
      return able.filter((one) => one.lane === lane).sort((a, b) => tag(a) - tag(b))[0];
    }

    serve(pool: string, { key, lane, tenant, weight }: Waiter): void {
      const flow = `${pool} ${lane} ${tenant}`;
      const time = Math.max(this.virtualTime.get(`${pool} ${lane}`) ?? 0, this.finish.get(flow) ?? 0);
      this.virtualTime.set(`${pool} ${lane}`, time);
      this.finish.set(flow, time + 1 / weight);
      this.remove([key]);
    }

    remove(gone: string[]): void {
      this.waiters = this.waiters.filter(({ waiter }) => !gone.includes(waiter.key));
      for (const pool of ['p', 'q']) {
        for (const lane of ['interactive', 'batch'] as const) {
          if (this.in(pool, lane).length > 0) continue;
          // The end of a busy period, as the paper has it.
          const all = [...this.finish].filter(([flow]) => flow.startsWith(`${pool} ${lane}`));
          this.virtualTime.set(`${pool} ${lane}`, Math.max(0, ...all.map(([, finish]) => finish)));
        }
      }
    }
  }

  test('everybody is served at most once, nobody is lost, and always in the same order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const lines = new FairLines<Waiter>({ maxPerPool: MAX });
        const model = new Model();
        for (const act of steps) {
          if (act.kind === 'add') {
            expect(lines.add(act.waiter)).toBe(model.add(act.waiter));
          } else if (act.kind === 'serve') {
            const expected = model.next(act.pool, act.usable);
            const next = lines.next(act.pool, (id) => act.usable.includes(id));
            expect(next?.waiter).toBe(expected);
            if (expected === undefined || next === undefined) continue;
            expect(act.usable).toContain(next.deployment.id);
            expect(lines.served(expected.key, act.pool)).toBe(expected);
            model.serve(act.pool, expected);
          } else if (act.kind === 'remove') {
            expect(lines.remove(act.key)).toBe(model.waiters.find(({ waiter: { key } }) => key === act.key)?.waiter);
            model.remove([act.key]);
          } else {
            const due = model.waiters.map(({ waiter }) => waiter).filter(({ deadline }) => deadline <= act.now);
            const expired = lines.removeExpired(act.now);
            expect(expired.map(({ deadline }) => deadline)).toEqual(
              due.map(({ deadline }) => deadline).toSorted((a, b) => a - b),
            );
            expect(new Set(expired)).toEqual(new Set(due));
            model.remove(due.map(({ key }) => key));
          }
          const standAt = (id: string, pool: string): Waiter[] =>
            model.in(pool).filter(({ deployments }) => deployments.some((one) => one.id === id));
          expect({
            size: lines.size,
            pools: [...lines.pools()].toSorted(),
            waiting: deploymentsOf(IDS).map(({ id, pool }) => [lines.waitingIn(pool), lines.waitingFor(id)]),
          }).toEqual({
            size: model.waiters.length,
            pools: ['p', 'q'].filter((pool) => model.in(pool).length > 0),
            waiting: deploymentsOf(IDS).map(({ id, pool }) => [model.in(pool).length, standAt(id, pool).length]),
          });
        }
        expect(lines.removeWhere(EVERY)).toEqual(model.waiters.map(({ waiter }) => waiter));
        expect([...lines.pools(), lines.size]).toEqual([0]);
      }),
      { numRuns: 200 },
    );
  });

  test('while two wait for the same deployment, neither gets ahead by more than one turn of each', () => {
    const weight = fc.constantFrom(0.1, 0.5, 1, 3, 7, 10);
    const noise = fc.record({
      adds: fc.array(
        fc.record({
          tenant: fc.constantFrom('a', 'b', 'c', 'd'),
          ids: fc.subarray(['p1', 'p2', 'p3'], { minLength: 1 }),
          weight,
        }),
        { maxLength: 3 },
      ),
      leaves: fc.nat({ max: 3 }),
      usable: fc.subarray(['p2', 'p3']),
      isPausedFor: fc.constantFrom(0, 0, 0, 0, 5),
    });
    fc.assert(
      fc.property(weight, weight, fc.array(noise, { maxLength: 150, size: 'max' }), (ofA, ofB, rounds) => {
        const weights: Record<string, number> = { a: ofA, b: ofB };
        const lines = new FairLines<Waiter>({ maxPerPool: 10_000 });
        const add = (tenant: string, ids: string[], own: number): void =>
          void lines.add(waiter(tenant, ids, { weight: weights[tenant] ?? own }));
        const waitsAtP1 = (tenant: string): boolean => backlog(lines, tenant) > 0;
        let [difference, lowest, highest] = [0, 0, 0];
        for (const { adds, leaves, usable, isPausedFor } of rounds) {
          for (const { tenant, ids, weight: own } of adds) add(tenant, ids, own);
          for (let i = 0; i < leaves; i++) removeOne(lines, i);
          // While the first deployment is unusable nobody has a share in it; afterwards a new interval begins.
          for (let i = 0; i < isPausedFor; i++) serve(lines, 1, 'p', (id) => usable.includes(id));
          if (isPausedFor > 0 || !waitsAtP1('a') || !waitsAtP1('b')) [difference, lowest, highest] = [0, 0, 0];
          const areBoth = waitsAtP1('a') && waitsAtP1('b');
          const [served] = serve(lines, 1, 'p', (id) => id === 'p1' || usable.includes(id));
          if (!areBoth || served === undefined) continue;
          if (served.tenant === 'a') difference += 1 / ofA;
          if (served.tenant === 'b') difference -= 1 / ofB;
          lowest = Math.min(lowest, difference);
          highest = Math.max(highest, difference);
          expect(highest - lowest).toBeLessThanOrEqual(1 / ofA + 1 / ofB + 1e-9);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** How many of a tenant wait for the deployment `p1`. */
function backlog(lines: FairLines<Waiter>, tenant: string): number {
  return everybody(lines).filter((one) => one.tenant === tenant && one.deployments.some(({ id }) => id === 'p1'))
    .length;
}

function removeOne(lines: FairLines<Waiter>, at: number): void {
  const one = everybody(lines).at(-1 - at);
  if (one !== undefined) lines.remove(one.key);
}

function everybody(lines: FairLines<Waiter>): Waiter[] {
  const all: Waiter[] = [];
  lines.removeWhere((one) => {
    all.push(one);
    return false;
  });
  return all;
}
