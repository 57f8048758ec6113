import type { Millis } from '../../../shared/clock.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atLeast, atMost, percent, round } from '../scenario.ts';
import type { Conduct } from '../upstream.ts';
import { WELL } from '../upstream.ts';
import { World } from '../world.ts';

const MEAN_MS = 400;
const DEPLOYMENTS = 4;
const WORKERS = 2;
const INGRESSES = 2;
const LOAD = 0.5;
const FROM = 20_000;
const TO = 50_000;
const END = 110_000;
/** Retries per second that each ingress gives to a name besides a fifth of its requests. */
const RESERVE_PER_SECOND = 10;

export function simulateStorm(ratio: number, requests: number, seed: number) {
  const perSecond = requests / (END / 1_000);
  const slots = Math.ceil((perSecond * MEAN_MS) / 1_000 / LOAD / WORKERS / DEPLOYMENTS);
  const names = Array.from({ length: DEPLOYMENTS }, (_, i) => `p${i}`);
  const conduct = (now: Millis): Conduct => (now >= FROM && now < TO ? { kind: 'failing', ratio, afterMs: 100 } : WELL);
  const ended = Array.from({ length: END / 1_000 + 200 }, () => ({ all: 0, well: 0 }));
  const world = new World({
    seed,
    routers: 3,
    workers: WORKERS,
    ingresses: INGRESSES,
    providers: names.map((name) => ({ name, meanMs: MEAN_MS, slots, conduct })),
    routes: [{ name: 'r', targets: names }],
    streams: [{ route: 'r', perSecond, until: END }],
    onEnded: ({ startedAt, code }) => {
      const second = ended[Math.floor(startedAt / 1_000)]!;
      second.all++;
      if (code === null) second.well++;
    },
  });
  const points: Point[] = [];
  let [calls, arrived] = [0, 0];
  let [stormCalls, stormArrived] = [0, 0];
  world.every(1_000, (now) => {
    const [newCalls, newArrived] = [world.calls - calls, world.arrived - arrived];
    [calls, arrived] = [world.calls, world.arrived];
    if (newArrived > 0) points.push([now / 1_000 - 1, newCalls / newArrived]);
    if (now <= FROM || now > TO) return;
    stormCalls += newCalls;
    stormArrived += newArrived;
  });
  world.run(END);
  const after = ended.findIndex(({ all, well }, second) => second * 1_000 >= TO && all > 0 && well / all >= 0.99);
  const wellDuring = share(ended.slice(FROM / 1_000, TO / 1_000));
  const wellAfter = share(ended.slice(TO / 1_000 + 10, END / 1_000));
  const reserve = (RESERVE_PER_SECOND * INGRESSES) / perSecond;
  const perRequest = stormCalls / stormArrived;
  const worst = Math.max(...points.filter(([at]) => at * 1_000 >= FROM && at * 1_000 < TO).map(([, y]) => y));
  return { world, points, perRequest, worst, reserve, wellDuring, wellAfter, recoveredMs: after * 1_000 - TO };
}

function share(seconds: ReadonlyArray<{ readonly all: number; readonly well: number }>): number {
  const all = seconds.reduce((sum, second) => sum + second.all, 0);
  return seconds.reduce((sum, second) => sum + second.well, 0) / all;
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  for (const ratio of [0.5, 1]) {
    progress(`${100 * ratio} % fail`);
    const found = simulateStorm(ratio, requests / 2, seed);
    const { world, points, perRequest, worst, reserve, wellDuring, wellAfter, recoveredMs } = found;
    simulated += world.arrived;
    lost += world.live;
    rows.push([
      `${100 * ratio} %`,
      round(perRequest, 3),
      round(worst, 3),
      round(1.2 + reserve, 3),
      percent(wellDuring),
      round(recoveredMs / 1_000),
      percent(wellAfter, 2),
    ]);
    lines.push({ name: `${100 * ratio} % fail`, points });
    const what = `${100 * ratio} % fail`;
    targets.push(
      atMost(`${what}: calls of providers for each request, 1.2 and the reserve`, perRequest, 1.2 + reserve, 3),
    );
    targets.push(atLeast(`${what}: share served from 10 s after the end on`, wellAfter, 0.999, 4));
  }
  return {
    setup: `All ${DEPLOYMENTS} deployments of a route at ${100 * LOAD} % load answer 500 to a half, or to all, of their calls from 20 s to 50 s. Retries are bounded by the budget of the two ingresses: a fifth of the requests, and ${RESERVE_PER_SECOND}/s each besides (the reserve), counted over 10 s, so that the first second may spend what ten have saved. _Served again_: the first second after the end in which 99 % are.`,
    titles: [
      'fail',
      'calls for each request',
      'in the worst second',
      'bound',
      'served during',
      'served again after s',
      'served later',
    ],
    rows,
    charts: [
      {
        name: 'storm',
        title: 'Calls of providers for each request while all of them fail',
        x: { title: 'seconds', max: END / 1_000 },
        y: { title: 'calls for each request', max: 1.6 },
        shade: [FROM / 1_000, TO / 1_000],
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const storm: Scenario = { name: 'storm', title: 'A retry storm', run };
