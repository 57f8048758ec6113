import type { RouteStrategy } from '../../../shared/config.ts';
import { Ideal } from '../ideal.ts';
import { Samples } from '../samples.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, round } from '../scenario.ts';
import type { RouteSpec } from '../world.ts';
import { World } from '../world.ts';

const WORKERS = 2;
const SLOTS = 12;
const MEANS_MS = [300, 300, 300, 300, 600, 600, 1_200, 1_200];
const LOADS = [0.3, 0.6, 0.85];
const PROVIDERS = MEANS_MS.map((meanMs, i) => ({
  name: `p${i}`,
  meanMs,
  slots: SLOTS,
  // Who is faster costs more.
  nanoUsdPerToken: Math.round(1_200_000 / meanMs),
}));
/** Requests/s at which every slot is taken. */
const CAPACITY = MEANS_MS.reduce((sum, meanMs) => sum + (WORKERS * SLOTS * 1_000) / meanMs, 0);

interface Way {
  readonly name: string;
  readonly strategy: RouteStrategy;
  readonly targets: RouteSpec['targets'];
}
const NAMES = PROVIDERS.map(({ name }) => name);
const WAYS: readonly Way[] = [
  { name: 'peak_ewma', strategy: 'peak_ewma', targets: NAMES },
  { name: 'weighted, equal', strategy: 'weighted', targets: NAMES },
  {
    name: 'weighted, by speed',
    strategy: 'weighted',
    targets: PROVIDERS.map(({ name, meanMs }) => ({ name, weight: 1_200 / meanMs })),
  },
  { name: 'ordered, fastest first', strategy: 'ordered', targets: NAMES },
  { name: 'cheapest', strategy: 'cheapest', targets: NAMES },
  { name: 'sticky', strategy: 'sticky', targets: NAMES },
];

interface Found {
  readonly latency: Samples;
  readonly ideal: Samples;
  readonly world: World;
}

export function simulateStrategy({ strategy, targets }: Way, load: number, requests: number, seed: number): Found {
  const perSecond = CAPACITY * load;
  const until = (requests / perSecond) * 1_000;
  // The first part finds idle deployments of which nothing is known.
  const countedFrom = until / 5;
  const latency = new Samples();
  const ideal = new Samples();
  const best = new Ideal(MEANS_MS.map((meanMs) => ({ meanMs, slots: WORKERS * SLOTS })));
  const world = new World({
    seed,
    providers: PROVIDERS,
    workers: WORKERS,
    routes: [{ name: 'r', strategy, targets }],
    streams: [{ route: 'r', perSecond, until }],
    onArrival: ({ size }, now) => {
      const ms = best.latencyMs(size, now);
      if (now >= countedFrom) ideal.add(ms);
    },
    onEnded: ({ startedAt, endedAt }) => {
      if (startedAt >= countedFrom) latency.add(endedAt - startedAt);
    },
  });
  return { latency, ideal, world: world.run(until) };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines = new Map<string, Point[]>();
  const p99 = new Map<string, number>();
  const each = requests / (WAYS.length * LOADS.length);
  let [simulated, lost] = [0, 0];
  const note = (name: string, load: number, value: number): void => {
    lines.set(name, [...(lines.get(name) ?? []), [100 * load, value]]);
    p99.set(`${name} ${load}`, value);
  };
  for (const load of LOADS) {
    for (const [i, way] of WAYS.entries()) {
      progress(`${way.name} at ${100 * load} %`);
      const { latency, ideal, world } = simulateStrategy(way, load, each, seed);
      simulated += world.arrived;
      lost += world.live;
      if (i === 0) {
        rows.push([`${100 * load} %`, 'ideal', ...[0.5, 0.95, 0.99].map((q) => round(ideal.quantile(q))), 1, 1]);
        note('ideal', load, ideal.quantile(0.99));
      }
      const ratio = (q: number): number => round(latency.quantile(q) / ideal.quantile(q), 2);
      const shown = [0.5, 0.95, 0.99].map((q) => round(latency.quantile(q)));
      rows.push([`${100 * load} %`, way.name, ...shown, ratio(0.5), ratio(0.99)]);
      note(way.name, load, latency.quantile(0.99));
    }
  }
  const of = (name: string, load: number): number => p99.get(`${name} ${load}`) ?? NaN;
  return {
    setup: `Eight deployments of ${SLOTS} slots at each of two workers, mean service times ${MEANS_MS.join(', ')} ms, sizes of requests log-normal (σ 0.5), arrivals Poisson; the faster the dearer. _Ideal_: a clairvoyant least-work-left queue, which knows how long each request will take everywhere.`,
    titles: ['load', 'strategy', 'p50 ms', 'p95 ms', 'p99 ms', 'p50 × ideal', 'p99 × ideal'],
    rows,
    charts: [
      {
        name: 'strategies',
        title: 'p99 latency under each strategy',
        x: { title: 'load, % of all slots', max: 100 },
        y: { title: 'p99, ms' },
        series: [...lines].map(([name, points]) => ({ name, points })),
      },
    ],
    requests: simulated,
    lost,
    targets: LOADS.map((load) =>
      atMost(
        `p99 of peak_ewma against weighted with equal weights, at ${100 * load} %`,
        of('peak_ewma', load) / of('weighted, equal', load),
        1,
      ),
    ),
  };
}

export const strategies: Scenario = { name: 'strategies', title: 'Latency under each strategy', run };
