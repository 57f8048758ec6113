import type { Point } from '../samples.ts';
import { Samples } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, percent, round } from '../scenario.ts';
import type { Stream } from '../world.ts';
import { World } from '../world.ts';

const MEAN_MS = 500;
const SLOTS = 20;
const WORKERS = 2;
/** Requests/s that the pool can serve. */
const CAPACITY = (SLOTS * WORKERS * 1_000) / MEAN_MS;
const DEADLINE_MS = 10_000;
/** Until then the first lines are still growing. */
const COUNTED_FROM = 20_000;
const WEIGHTS = new Map([
  ['one', 1],
  ['three', 3],
]);

interface Case {
  readonly name: string;
  readonly routers: number;
  /** Of the capacity, by tenant. */
  readonly offered: Readonly<Record<string, number>>;
}
const CASES: readonly Case[] = [
  { name: 'both want more than all', routers: 1, offered: { one: 1.5, three: 1.5 } },
  { name: 'both want more than all', routers: 3, offered: { one: 1.5, three: 1.5 } },
  { name: 'one floods with 100 × of the other', routers: 1, offered: { one: 5, three: 0.05 } },
  { name: 'one floods with 100 × of the other', routers: 3, offered: { one: 5, three: 0.05 } },
  { name: 'the other alone', routers: 3, offered: { three: 0.05 } },
];

export function simulateTenants({ routers, offered }: Case, requests: number, seed: number) {
  const perSecond = Object.values(offered).reduce((sum, share) => sum + share * CAPACITY, 0);
  const until = Math.max(60_000, Math.min(600_000, (requests / perSecond) * 1_000));
  const waits = new Map(Object.keys(offered).map((tenant) => [tenant, new Samples()]));
  const come = new Map<string, number>();
  const served = new Map<string, number>();
  const servedOfCome = new Map<string, number>();
  const points = new Map<string, Point[]>(Object.keys(offered).map((tenant) => [tenant, []]));
  const inBin = new Map<string, number>();
  const count = (map: Map<string, number>, tenant: string): void => void map.set(tenant, (map.get(tenant) ?? 0) + 1);
  const streams = Object.entries(offered).map(([tenant, share]): Stream => ({
    route: 'r',
    tenant,
    perSecond: share * CAPACITY,
    until,
    deadlineMs: DEADLINE_MS,
  }));
  const world = new World({
    seed,
    routers,
    workers: WORKERS,
    queueWeights: WEIGHTS,
    providers: [{ name: 'p', meanMs: MEAN_MS, slots: SLOTS }],
    routes: [{ name: 'r', targets: ['p'] }],
    streams,
    onEnded: ({ arrival: { tenant }, startedAt, endedAt, code, queueMs }) => {
      if (startedAt >= COUNTED_FROM && startedAt < until - DEADLINE_MS) {
        count(come, tenant);
        if (code === null) count(servedOfCome, tenant);
      }
      if (code !== null) return;
      if (endedAt < until) count(inBin, tenant);
      if (endedAt < COUNTED_FROM || endedAt >= until) return;
      count(served, tenant);
      waits.get(tenant)?.add(queueMs);
    },
  });
  world.every(2_000, (now) => {
    if (now > until) return;
    const all = [...inBin.values()].reduce((a, b) => a + b, 0);
    for (const [tenant, own] of points) if (all > 0) own.push([now / 1_000, (inBin.get(tenant) ?? 0) / all]);
    inBin.clear();
  });
  world.run(until);
  return { world, until, waits, come, served, servedOfCome, points };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  for (const each of CASES) {
    const name = `${each.name}, ${each.routers} router${each.routers === 1 ? '' : 's'}`;
    progress(name);
    const { world, until, waits, come, served, servedOfCome, points } = simulateTenants(
      each,
      requests / CASES.length,
      seed,
    );
    simulated += world.arrived;
    lost += world.live;
    const all = [...served.values()].reduce((a, b) => a + b, 0);
    for (const tenant of Object.keys(each.offered)) {
      const own = served.get(tenant) ?? 0;
      const wait = waits.get(tenant)!;
      rows.push([
        each.name,
        each.routers,
        `${tenant} (${WEIGHTS.get(tenant)})`,
        percent(each.offered[tenant]!, 0),
        percent(own / all),
        percent(all / ((until - COUNTED_FROM) / 1_000) / CAPACITY),
        percent((servedOfCome.get(tenant) ?? 0) / (come.get(tenant) ?? 0)),
        round(wait.quantile(0.5)),
        round(wait.quantile(0.99)),
      ]);
    }
    const isSaturated = (each.offered['three'] ?? 0) > 1;
    if (isSaturated) {
      const ratio = (served.get('three') ?? 0) / (served.get('one') ?? 0);
      targets.push(atMost(`${name}: slots by weight 3:1, off by`, Math.abs(ratio / 3 - 1), 0.1));
      lines.push({ name: `weight 3, ${each.routers} routers`, points: points.get('three') ?? [] });
    } else if (each.offered['one'] !== undefined) {
      const unserved = 1 - (servedOfCome.get('three') ?? 0) / (come.get('three') ?? 0);
      targets.push(atMost(`${name}: % of the light tenant’s requests not served`, 100 * Math.max(0, unserved), 0.5));
      targets.push(atMost(`${name}: p99 of its wait, ms`, waits.get('three')!.quantile(0.99), 250, 0));
      lines.push({ name: `flood, ${each.routers} routers`, points: points.get('one') ?? [] });
    }
  }
  return {
    setup: `A pool of ${SLOTS * WORKERS} slots and ${MEAN_MS} ms, two tenants with the weights 1 and 3, deadlines of ${DEADLINE_MS / 1_000} s. Offered is relative to what the pool can serve; a wait that cannot end in time is refused at once. _Slots well used_: by answers that came in time, of what the pool can serve.`,
    titles: [
      'case',
      'routers',
      'tenant (weight)',
      'offered',
      'share of slots',
      'slots well used',
      'served',
      'wait p50 ms',
      'wait p99 ms',
    ],
    rows,
    charts: [
      {
        name: 'tenants',
        title: 'Share of the slots',
        x: { title: 'seconds' },
        y: { title: 'share of all served', max: 1 },
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const tenants: Scenario = { name: 'tenants', title: 'Fairness between tenants', run };
