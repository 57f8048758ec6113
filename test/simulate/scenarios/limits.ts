import type { Point } from '../samples.ts';
import { Samples } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atLeast, atMost, percent, round } from '../scenario.ts';
import { World } from '../world.ts';

const PER_MINUTE = 600;
const OFFERED = 1.5;
const BURST = PER_MINUTE;
const ROUTERS = 3;
const WORKERS = 2;
const MEAN_MS = 800;
const QUEUE_MS = 10_000;
const MINUTE_MS = 60_000;

interface Case {
  readonly name: string;
  readonly isTold: boolean;
  readonly isConfigured: boolean;
}
const CASES: readonly Case[] = [
  { name: 'nothing but 429s', isTold: false, isConfigured: false },
  { name: 'headers of its answers', isTold: true, isConfigured: false },
  { name: 'the configuration', isTold: false, isConfigured: true },
];

export function simulateLimits({ isTold, isConfigured }: Omit<Case, 'name'>, minutes: number, seed: number) {
  const until = minutes * MINUTE_MS;
  const byRouter = new Map<string, number>();
  const waits = new Samples();
  const wellAt = Array.from({ length: Math.ceil(until / 1_000) + 60 }, () => 0);
  const codes = new Map<string, number>();
  let [well, wellInTime] = [0, 0];
  const world = new World({
    seed,
    routers: ROUTERS,
    workers: WORKERS,
    providers: [
      {
        name: 'p',
        meanMs: MEAN_MS,
        slots: 100,
        limit: { perMinute: PER_MINUTE, burst: BURST, isTold },
        ...(isConfigured ? { requestsPerMinute: PER_MINUTE / WORKERS } : {}),
      },
    ],
    routes: [{ name: 'r', targets: ['p'], onLimit: { kind: 'queue', forMs: QUEUE_MS, then: { kind: 'reject' } } }],
    streams: [{ route: 'r', perSecond: (OFFERED * PER_MINUTE) / 60, until }],
    onEnded: ({ code, endedAt, placed, queueMs }) => {
      if (code !== null) codes.set(code, (codes.get(code) ?? 0) + 1);
      if (code !== null || placed === undefined) return;
      well++;
      waits.add(queueMs);
      byRouter.set(placed.router, (byRouter.get(placed.router) ?? 0) + 1);
      wellAt[Math.floor(endedAt / 1_000)]!++;
      if (endedAt > 2 * MINUTE_MS && endedAt <= until) wellInTime++;
    },
  });
  world.run(until);
  let [pause, longestPause] = [0, 0];
  for (let second = 120; second < until / 1_000; second++) {
    pause = wellAt[second] === 0 ? pause + 1 : 0;
    longestPause = Math.max(longestPause, pause);
  }
  const goodput = wellInTime / ((minutes - 2) * PER_MINUTE);
  const shares = [...byRouter.values()];
  const fairness = shares.length < ROUTERS ? 0 : Math.min(...shares) / Math.max(...shares);
  const points: Point[] = [];
  for (let i = 0; i + 10 <= until / 1_000; i += 10) {
    points.push([i + 5, (wellAt.slice(i, i + 10).reduce((a, b) => a + b, 0) * 6) / PER_MINUTE]);
  }
  return { world, longestPause, goodput, fairness, points, waits, well, codes };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  // The rate is given, so it is the time that follows from the number of requests.
  const minutes = Math.max(5, Math.min(30, Math.round(requests / CASES.length / (PER_MINUTE * OFFERED))));
  for (const each of CASES) {
    progress(`the limit is known by ${each.name}`);
    const { world, longestPause, goodput, fairness, points, waits, well, codes } = simulateLimits(each, minutes, seed);
    simulated += world.arrived;
    lost += world.live;
    const { refused, calls } = world.upstream('p');
    rows.push([
      each.name,
      round(refused / minutes, 1),
      percent(refused / calls),
      world.declined.throttled,
      percent(goodput),
      longestPause,
      percent(well / world.arrived),
      round(waits.quantile(0.5) / 1_000, 1),
      round(waits.quantile(0.99) / 1_000, 1),
      round(fairness, 2),
      [...codes].map(([code, count]) => `${code} ${count}`).join(', '),
    ]);
    lines.push({ name: each.name, points });
    targets.push(atLeast(`${each.name}: goodput relative to the limit`, goodput, 0.9));
    targets.push(atMost(`${each.name}: longest time in which nobody is served, s`, longestPause, 10));
    targets.push(atLeast(`${each.name}: the least served router relative to the most served`, fairness, 0.8));
    // Who is told nothing must try.
    const bearable = each.isConfigured || each.isTold ? 2 : 5;
    targets.push(atMost(`${each.name}: % of the calls that are refused with 429`, (100 * refused) / calls, bearable));
  }
  return {
    setup: `A provider that takes ${PER_MINUTE} requests/min and is offered ${OFFERED} × that for ${minutes} min (its bucket holds a minute’s worth, and the first two minutes are not counted in goodput); ${ROUTERS} routers, ${WORKERS} workers without Redis; the route queues for ${QUEUE_MS / 1_000} s. _Pause_: nobody is served. The gateway knows of the limit by what the first column says.`,
    titles: [
      ...[
        'known by',
        '429s per minute',
        'of the calls',
        'declined by workers',
        'goodput of the limit',
        'longest pause s',
        'served of all',
      ],
      ...['wait p50 s', 'wait p99 s', 'least/most served router', 'others ended with'],
    ],
    rows,
    charts: [
      {
        name: 'limits',
        title: 'Goodput at a provider with a rate limit, offered 1.5 × of it',
        x: { title: 'seconds' },
        y: { title: 'relative to the limit', max: 1.4 },
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const limits: Scenario = { name: 'limits', title: 'A provider’s rate limit', run };
