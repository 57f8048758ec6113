import type { Millis } from '../../../shared/clock.ts';
import { Samples, Timeline } from '../samples.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, percent, round } from '../scenario.ts';
import type { Conduct } from '../upstream.ts';
import { WELL } from '../upstream.ts';
import type { Stream } from '../world.ts';
import { World } from '../world.ts';

const MEAN_MS = 1_000;
const WORKERS = 2;
const LOAD = 0.4;
const PATIENCE_MS = 30_000;
const FROM = 30_000;
const TO = 120_000;
const END = 180_000;
const ROUTES = ['hanging', 'other', 'shared'] as const;

function simulate(isStream: boolean, requests: number, seed: number) {
  const perSecond = requests / (END / 1_000) / ROUTES.length;
  const slots = Math.ceil((((perSecond * MEAN_MS) / 1_000) * 1.5) / LOAD / WORKERS);
  const conduct = (now: Millis): Conduct => (now >= FROM && now < TO ? { kind: 'hanging' } : WELL);
  const found = ROUTES.map((route) => ({
    route,
    before: new Samples(),
    during: new Samples(),
    all: new Timeline(2_000),
    count: 0,
    caught: 0,
    failed: 0,
  }));
  const streams = ROUTES.map((route): Stream => ({
    route,
    perSecond,
    isStream,
    until: END,
    deadlineMs: 4 * PATIENCE_MS,
  }));
  const world = new World({
    seed,
    routers: 3,
    workers: WORKERS,
    patienceMs: PATIENCE_MS,
    providers: ['a', 'b', 'c', 'd', 'e'].map((name) => ({
      ...{ name, meanMs: MEAN_MS, slots },
      ...(name === 'a' || name === 'c' ? { conduct } : {}),
    })),
    routes: [
      { name: 'hanging', targets: ['a'], onLimit: { kind: 'queue', forMs: 5_000, then: { kind: 'reject' } } },
      { name: 'other', targets: ['b'] },
      { name: 'shared', targets: ['c', 'd', 'e'] },
    ],
    streams,
    onEnded: ({ arrival, startedAt, endedAt, attempts, code }) => {
      const own = found.find(({ route }) => route === arrival.model)!;
      const ms = endedAt - startedAt;
      own.all.add(startedAt, ms);
      if (startedAt > 5_000 && startedAt < FROM - PATIENCE_MS / 3) own.before.add(ms);
      if (startedAt < FROM || startedAt >= TO) return;
      own.during.add(ms);
      own.count++;
      if (code !== null) own.failed++;
      if (attempts > 1 || ms >= PATIENCE_MS) own.caught++;
    },
  });
  world.run(END);
  return { world, found };
}

function run({ seed, requests, progress }: Settings): Result {
  const rows: Cell[][] = [];
  const lines: Array<{ name: string; points: Point[] }> = [];
  const targets = [];
  let [simulated, lost] = [0, 0];
  for (const isStream of [false, true]) {
    const kind = isStream ? 'streams' : 'plain answers';
    progress(kind);
    const { world, found } = simulate(isStream, requests / 2, seed);
    simulated += world.arrived;
    lost += world.live;
    for (const { route, before, during, all, count, caught, failed } of found) {
      const ratio = during.quantile(0.99) / before.quantile(0.99);
      rows.push([
        kind,
        route,
        round(before.quantile(0.99)),
        round(during.quantile(0.5)),
        round(during.quantile(0.99)),
        round(ratio, 2),
        percent(caught / count, 2),
        percent(failed / count, 2),
      ]);
      if (route !== 'hanging') lines.push({ name: `${route}, ${kind}`, points: all.points(0.99) });
      if (route === 'other') targets.push(atMost(`${kind}: p99 of another route, relative to before`, ratio, 1.2));
      if (route === 'shared')
        targets.push(
          atMost(`${kind}: % of the requests of a shared route that the hang catches`, (100 * caught) / count, 1),
        );
    }
  }
  return {
    setup: `Three routes on the same three routers and two workers: _hanging_ has the deployment a alone, _other_ only b, _shared_ c, d and e (peak_ewma). Answers take ${MEAN_MS} ms; from 30 s to 120 s a and c take calls and answer none, and a worker gives one up after ${PATIENCE_MS / 1_000} s. _Caught_: its first attempt hung.`,
    titles: ['calls', 'route', 'p99 before', 'p50 during', 'p99 during', 'p99 × before', 'caught', 'failed'],
    rows,
    charts: [
      {
        name: 'hang',
        title: 'p99 latency while one provider hangs',
        x: { title: 'seconds', max: END / 1_000 },
        y: { title: 'p99, ms', isLog: true },
        shade: [FROM / 1_000, TO / 1_000],
        series: lines,
      },
    ],
    requests: simulated,
    lost,
    targets,
  };
}

export const hang: Scenario = { name: 'hang', title: 'A provider that hangs', run };
