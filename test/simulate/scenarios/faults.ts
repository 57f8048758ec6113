import type { RouteStrategy } from '../../../shared/config.ts';
import type { Millis } from '../../../shared/clock.ts';
import { Samples, Timeline } from '../samples.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, percent, round } from '../scenario.ts';
import type { Conduct } from '../upstream.ts';
import { WELL } from '../upstream.ts';
import { World } from '../world.ts';

const MEAN_MS = 400;
const DEPLOYMENTS = 6;
const WORKERS = 2;
const LOAD = 0.5;
const FROM = 30_000;
const TO = 90_000;
const END = 120_000;
const BIN_MS = 250;
/** Shares are of the calls within the last second. */
const BINS = 4;
const FAILS_AFTER_MS = 50;

const slow = (now: Millis): Conduct => (now >= FROM && now < TO ? { kind: 'slow', factor: 10 } : WELL);
/** 10 s good, 10 s bad, beginning with bad. */
const flapping = (now: Millis): Conduct =>
  now >= FROM && now < TO && Math.floor((now - FROM) / 10_000) % 2 === 0
    ? { kind: 'failing', ratio: 1, afterMs: FAILS_AFTER_MS }
    : WELL;

interface Case {
  readonly fault: string;
  readonly strategy: RouteStrategy;
  readonly conduct: (now: Millis) => Conduct;
}
const CASES: readonly Case[] = [
  { fault: '10 × slower', strategy: 'peak_ewma', conduct: slow },
  { fault: '10 × slower', strategy: 'weighted', conduct: slow },
  { fault: 'flapping', strategy: 'peak_ewma', conduct: flapping },
  { fault: 'flapping', strategy: 'weighted', conduct: flapping },
];

function simulate({ strategy, conduct }: Case, requests: number, seed: number) {
  const perSecond = requests / (END / 1_000);
  const slots = Math.ceil((perSecond * MEAN_MS) / 1_000 / LOAD / WORKERS / DEPLOYMENTS);
  const names = Array.from({ length: DEPLOYMENTS }, (_, i) => `p${i}`);
  const [bad = ''] = names;
  const before = new Samples();
  const rest = new Samples();
  const all = new Timeline(1_000);
  let [during, hurt, retried, failed] = [0, 0, 0, 0];
  const world = new World({
    seed,
    routers: 3,
    workers: WORKERS,
    providers: names.map((name) => ({ name, meanMs: MEAN_MS, slots, ...(name === bad ? { conduct } : {}) })),
    routes: [{ name: 'r', targets: names, strategy }],
    streams: [{ route: 'r', perSecond, until: END }],
    onEnded: ({ startedAt, endedAt, placed, attempts, code }) => {
      const ms = endedAt - startedAt;
      all.add(startedAt, ms);
      if (startedAt < FROM && startedAt > 5_000) before.add(ms);
      if (startedAt < FROM || startedAt >= TO) return;
      during++;
      if (code !== null) failed++;
      if (attempts > 1) retried++;
      const wasBad = placed?.deployment === `${bad}/m`;
      if (attempts > 1 || (wasBad && conduct(startedAt).kind === 'slow')) hurt++;
      else if (!wasBad) rest.add(ms);
    },
  });
  const looks: Array<{ readonly calls: number; readonly bad: number }> = [];
  const shares: Point[] = [];
  world.every(BIN_MS, (now) => {
    const look = { calls: world.calls, bad: world.upstream(bad).calls };
    const before = looks.at(-BINS);
    looks.push(look);
    if (before === undefined || look.calls === before.calls) return;
    shares.push([now / 1_000, (look.bad - before.bad) / (look.calls - before.calls)]);
  });
  world.run(END);
  const fair = 1 / DEPLOYMENTS;
  const noticed = shares.find(([at, share]) => at * 1_000 >= FROM && share < fair / 2);
  return {
    world,
    before,
    rest,
    all,
    shares,
    during,
    hurt,
    retried,
    failed,
    noticedMs: noticed && noticed[0] * 1_000 - FROM,
  };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  for (const each of CASES) {
    progress(`${each.fault}, ${each.strategy}`);
    const found = simulate(each, requests / CASES.length, seed);
    const { world, before, rest, shares, during, hurt, retried, failed, noticedMs } = found;
    simulated += world.arrived;
    lost += world.live;
    const ratio = rest.quantile(0.99) / before.quantile(0.99);
    rows.push([
      each.fault,
      each.strategy,
      percent(hurt / during),
      percent(retried / during),
      percent(failed / during, 2),
      noticedMs === undefined ? 'never' : noticedMs,
      round(before.quantile(0.99)),
      round(rest.quantile(0.99)),
    ]);
    lines.push({ name: `${each.fault}, ${each.strategy}`, points: shares.filter((_, i) => i % BINS === 0) });
    if (each.strategy === 'peak_ewma') {
      targets.push(atMost(`${each.fault}: p99 of the requests that were not hurt, relative to before`, ratio, 1.2));
      targets.push(atMost(`${each.fault}: % of the requests that fail`, (100 * failed) / during, 0.1));
    }
  }
  return {
    setup: `${DEPLOYMENTS} deployments of ${MEAN_MS} ms at ${100 * LOAD} % load, three routers. From 30 s to 90 s one of them takes ten times as long, or answers 500 (after ${FAILS_AFTER_MS} ms) for 10 s of every 20. _Hurt_: served by the slow one, or not at the first attempt. _Noticed_: its share of the calls of the last second is below half of a fair one.`,
    titles: ['fault', 'strategy', 'hurt', 'retried', 'failed', 'noticed after ms', 'p99 before', 'p99 of the rest'],
    rows,
    charts: [
      {
        name: 'faults',
        title: 'Share of the calls that go to the faulty one of six deployments',
        x: { title: 'seconds', max: END / 1_000 },
        y: { title: 'share of all calls' },
        shade: [FROM / 1_000, TO / 1_000],
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const faults: Scenario = { name: 'faults', title: 'One slow and one flapping deployment', run };
