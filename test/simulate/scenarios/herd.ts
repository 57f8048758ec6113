import type { RouteStrategy } from '../../../shared/config.ts';
import type { Millis } from '../../../shared/clock.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, percent, round } from '../scenario.ts';
import type { Conduct } from '../upstream.ts';
import { WELL } from '../upstream.ts';
import { World } from '../world.ts';

const MEAN_MS = 400;
const DEPLOYMENTS = 5;
const WORKERS = 2;
const LOAD = 0.5;
const FROM = 20_000;
const TO = 50_000;
const END = 110_000;
const BIN_MS = 100;
/** The first seconds after it is back. */
const HERD_MS = 10_000;

interface Case {
  readonly outage: string;
  readonly strategy: RouteStrategy;
  readonly how: Conduct;
}
const CASES: readonly Case[] = [
  { outage: 'answers 500', strategy: 'peak_ewma', how: { kind: 'failing', ratio: 1, afterMs: 20 } },
  { outage: 'answers 500', strategy: 'weighted', how: { kind: 'failing', ratio: 1, afterMs: 20 } },
  { outage: 'hangs', strategy: 'peak_ewma', how: { kind: 'hanging' } },
];

function simulate({ strategy, how }: Case, requests: number, seed: number) {
  const perSecond = requests / (END / 1_000);
  const slots = Math.ceil((perSecond * MEAN_MS) / 1_000 / LOAD / WORKERS / DEPLOYMENTS);
  const names = Array.from({ length: DEPLOYMENTS }, (_, i) => `p${i}`);
  const [bad = ''] = names;
  const conduct = (now: Millis): Conduct => (now >= FROM && now < TO ? how : WELL);
  let failed = 0;
  const world = new World({
    seed,
    routers: 3,
    workers: WORKERS,
    patienceMs: 10_000,
    providers: names.map((name) => ({ name, meanMs: MEAN_MS, slots, ...(name === bad ? { conduct } : {}) })),
    routes: [{ name: 'r', targets: names, strategy }],
    streams: [{ route: 'r', perSecond, until: END }],
    onEnded: ({ code }) => void (code !== null && failed++),
  });
  const points: Point[] = [];
  const usual: number[] = [];
  world.every(BIN_MS, (now) => {
    const { inFlight } = world.upstream(bad);
    points.push([now / 1_000, inFlight]);
    if (now > 5_000 && now < FROM) usual.push(inFlight);
  });
  world.run(END);
  const fair = usual.reduce((a, b) => a + b, 0) / usual.length;
  const relative = points.map(([at, inFlight]) => [at, inFlight / fair] as const);
  const after = relative.filter(([at]) => at * 1_000 >= TO);
  // What hung there is over when its patience ends; from then on what is in flight is new.
  const back = after.findIndex(([at, load]) => at * 1_000 >= TO + (how.kind === 'hanging' ? 10_100 : 0) && load >= 0.5);
  const herd = after.slice(back, back + HERD_MS / BIN_MS).map(([, load]) => load);
  const backMs = back < 0 ? undefined : after[back]![0] * 1_000 - TO;
  return { world, failed, relative, backMs, peak: Math.max(...herd), usualPeak: Math.max(...usual) / fair };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  for (const each of CASES) {
    const name = `${each.outage}, ${each.strategy}`;
    progress(name);
    const { world, failed, relative, backMs, peak, usualPeak } = simulate(each, requests / CASES.length, seed);
    simulated += world.arrived;
    lost += world.live;
    const back = backMs === undefined ? 'never' : round(backMs / 1_000, 1);
    rows.push([
      each.outage,
      each.strategy,
      back,
      round(peak, 2),
      round(usualPeak, 2),
      percent(failed / world.arrived, 2),
    ]);
    lines.push({ name, points: relative });
    targets.push(atMost(`${name}: peak in flight after it is back, of a fair share`, peak, 2.5));
  }
  return {
    setup: `${DEPLOYMENTS} deployments of ${MEAN_MS} ms at ${100 * LOAD} % load, three routers, two workers with a breaker each. One is out from 20 s to 50 s. Its calls in flight are looked at every ${BIN_MS} ms, relative to their mean before; _back_ is when half of a fair share flows again, _peak_ the most within ${HERD_MS / 1_000} s of that.`,
    titles: [
      'outage',
      'strategy',
      'back after s',
      'peak after it is back',
      'peak before the outage',
      'requests failed',
    ],
    rows,
    charts: [
      {
        name: 'herd',
        title: 'Calls in flight at the deployment that was out',
        x: { title: 'seconds', max: END / 1_000 },
        y: { title: 'relative to its fair share' },
        shade: [FROM / 1_000, TO / 1_000],
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const herd: Scenario = { name: 'herd', title: 'The herd after an outage', run };
