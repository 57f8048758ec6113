import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { RouteStrategy } from '../../../shared/config.ts';
import { DECISION_TARGET as TARGET, makeDecider, microseconds } from '../decision-cost.ts';
import type { Point } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, round } from '../scenario.ts';

const SIZES = [2, 10, 100, 500, 1_000, 2_000];
const STRATEGIES: readonly RouteStrategy[] = ['peak_ewma', 'weighted', 'ordered', 'sticky', 'cheapest'];
/** Fewer deployments do not show beside the router itself, nor fewer in all beside what else the heap holds. */
const MIN_COUNTED = 100;
const MIN_HELD = 4_000;

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

function kibPerDeployment(size: number): number {
  const before = heapBytes();
  const kept = Array.from({ length: Math.ceil(MIN_HELD / size) }, () => makeDecider(size, 'peak_ewma'));
  return (heapBytes() - before) / kept.length / size / 1_024;
}

function run({ requests, progress }: Settings): Result {
  // Real time, as the number of requests asks for: 0.3 s for each measurement of a full run.
  const forMs = Math.max(30, Math.min(300, requests / 1_000));
  const rows: Cell[][] = [];
  const lines = new Map<string, Point[]>();
  let asked = 0;
  let atTarget = NaN;
  for (const size of SIZES) {
    progress(`${size} deployments`);
    const row: Cell[] = [size];
    for (const strategy of STRATEGIES) {
      const found = microseconds(makeDecider(size, strategy).decider, forMs);
      asked += found.asked;
      if (size === TARGET.deployments && strategy === 'peak_ewma') atTarget = found.us;
      lines.set(strategy, [...(lines.get(strategy) ?? []), [size, found.us]]);
      row.push(round(found.us, 1));
    }
    row.push(size < MIN_COUNTED ? '' : round(kibPerDeployment(size), 2));
    rows.push(row);
  }
  return {
    setup: `Real time of \`Decider.ask\` on this machine, warm: from the question's bytes to the answer's text, at a route of so many deployments that all have slots, two workers each, and none of them limited. Memory is what one router holds for each deployment, its share of the configuration included.`,
    titles: ['deployments', ...STRATEGIES.map((strategy) => `${strategy} µs`), 'KiB for each deployment'],
    rows,
    charts: [
      {
        name: 'cost',
        title: 'Time of one decision',
        x: { title: 'deployments of the route', isLog: true },
        y: { title: 'µs', isLog: true },
        series: [...lines].map(([name, points]) => ({ name, points })),
      },
    ],
    requests: asked,
    lost: 0,
    targets: [atMost(`µs for each decision (peak_ewma) at ${TARGET.deployments} deployments`, atTarget, TARGET.us, 1)],
  };
}

export const cost: Scenario = { name: 'cost', title: 'What a decision costs', run };
