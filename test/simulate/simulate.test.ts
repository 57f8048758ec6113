import { describe, expect, test } from 'vitest';
import { toSvg } from './chart.ts';
import { simulateLimits } from './scenarios/limits.ts';
import { simulateStorm } from './scenarios/storm.ts';
import { simulateStrategy } from './scenarios/strategies.ts';
import { simulateTenants } from './scenarios/tenants.ts';
import { VirtualTime } from './virtual-time.ts';
import { World } from './world.ts';

const SEED = 7;
const NAMES = Array.from({ length: 8 }, (_, i) => `p${i}`);

test.each([0.3, 0.6])('at a load of %d, two choices by load beat a blind share where deployments differ', (load) => {
  const p99 = (strategy: 'peak_ewma' | 'weighted'): number => {
    const { latency, world } = simulateStrategy({ name: strategy, strategy, targets: NAMES }, load, 6_000, SEED);
    expect([world.ended, world.live]).toEqual([world.arrived, 0]);
    return latency.quantile(0.99);
  };
  expect(p99('peak_ewma')).toBeLessThan(0.95 * p99('weighted'));
});

test.each([0.5, 1])(
  'when %d of all calls fail, retries stay within their budget, and all is well again afterwards',
  (ratio) => {
    const { world, perRequest, reserve, wellAfter } = simulateStorm(ratio, 8_000, SEED);
    expect(perRequest).toBeGreaterThan(1.05);
    // What was saved before the storm may be spent in it.
    expect(perRequest).toBeLessThan(1.25 + reserve);
    expect(wellAfter).toBeGreaterThan(0.99);
    expect([world.ended, world.live]).toEqual([world.arrived, 0]);
  },
);

test.each([true, false])(
  'a limit that nobody has configured is used, evenly and with few refusals, be it told or not (%s)',
  (isTold) => {
    const { world, goodput, fairness, longestPause } = simulateLimits({ isTold, isConfigured: false }, 5, SEED);
    const { refused, calls } = world.upstream('p');
    expect(refused / calls).toBeLessThan(0.05);
    expect(goodput).toBeGreaterThan(0.9);
    expect(fairness).toBeGreaterThan(0.85);
    expect(longestPause).toBeLessThan(5);
    expect([world.ended, world.live]).toEqual([world.arrived, 0]);
  },
);

describe('tenants of the weights 1 and 3', () => {
  test.each([1, 3])('share the slots like that when both want more, with %d routers', (routers) => {
    const offered = { one: 1.5, three: 1.5 };
    const { world, served } = simulateTenants({ name: '', routers, offered }, 10_000, SEED);
    const ratio = (served.get('three') ?? 0) / (served.get('one') ?? 0);
    expect(ratio).toBeGreaterThan(2);
    expect(ratio).toBeLessThan(4.5);
    expect([world.ended, world.live]).toEqual([world.arrived, 0]);
  });

  test('one that floods is in nobody’s way but its own', () => {
    const offered = { one: 4, three: 0.05 };
    const { world, come, servedOfCome, waits } = simulateTenants({ name: '', routers: 3, offered }, 10_000, SEED);
    expect(servedOfCome.get('three')).toBe(come.get('three'));
    expect(waits.get('three')?.quantile(0.99)).toBeLessThan(500);
    expect([world.ended, world.live]).toEqual([world.arrived, 0]);
  });
});

test('the same seed gives the same run, another one another', () => {
  const run = (seed: number): number[] => {
    const ends: number[] = [];
    new World({
      seed,
      routers: 2,
      providers: ['a', 'b'].map((name) => ({ name, meanMs: 100, slots: 4 })),
      routes: [{ name: 'r', targets: ['a', 'b'] }],
      streams: [{ route: 'r', perSecond: 100, until: 3_000 }],
      onEnded: ({ endedAt }) => ends.push(endedAt),
    }).run(3_000);
    return ends;
  };
  expect(run(1)).toEqual(run(1));
  expect(run(1)).not.toEqual(run(2));
});

test('virtual time: in order, messages and timers alike; what is called off does not happen', () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  time.govern(() => {
    setTimeout(() => seen.push(`timer ${time.now}`), 5);
    const late = setTimeout(() => seen.push('never'), 6);
    time.after(1, () => {
      setImmediate(() => seen.push(`turn end ${time.now}`));
      time.hop(() => seen.push(`message ${time.now}`));
      seen.push(`event ${time.now}`);
      clearTimeout(late);
    });
    time.runUntil(10);
  });
  expect(seen).toEqual(['event 1', 'turn end 1', 'message 1.2', 'timer 5']);
  expect(setTimeout).not.toBe(time.after.bind(time));
});

test('a chart is one SVG, its texts escaped', () => {
  const series = [{ name: 'a < b', points: [[0, 1] as const, [10, 100] as const] }];
  const svg = toSvg({ name: 'c', title: 'c', x: { title: 's' }, y: { title: 'ms', isLog: true }, series });
  expect(svg).toMatch(/^<svg [^]*<\/svg>\n$/);
  expect(svg).toContain('a &#60; b');
  expect(svg).not.toContain('NaN');
});
