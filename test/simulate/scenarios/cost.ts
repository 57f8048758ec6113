import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Registry } from 'prom-client';
import type { Bus } from '../../../shared/bus.ts';
import { Catalog } from '../../../shared/catalog.ts';
import type { RouteStrategy } from '../../../shared/config.ts';
import type { DeploymentReport } from '../../../shared/messages/beat.ts';
import { loadPriceTable } from '../../../shared/pricing.ts';
import { inboxSubject } from '../../../shared/subjects.ts';
import { seeded } from '../../../shared/testing/seeded.ts';
import { AheadGrants } from '../../../services/router/ahead.ts';
import { HealthTable } from '../../../services/router/core/health-table.ts';
import { SlotTable } from '../../../services/router/core/slot-table.ts';
import { Decider } from '../../../services/router/decide.ts';
import { RouterMetrics } from '../../../services/router/metrics.ts';
import { Queue } from '../../../services/router/queue.ts';
import type { Point } from '../samples.ts';
import { Samples } from '../samples.ts';
import type { Cell, Result, Scenario, Settings } from '../scenario.ts';
import { atMost, round } from '../scenario.ts';
import { providerConfig, routeConfig } from '../world.ts';

const SIZES = [2, 10, 100, 500, 1_000, 2_000];
const STRATEGIES: readonly RouteStrategy[] = ['peak_ewma', 'weighted', 'ordered', 'sticky', 'cheapest'];
const WORKERS = 2;
const SLOTS = 1_000_000_000;
const TARGET = { deployments: 100, us: 20 };
/** A batch is long enough for the timer; the least disturbed tenth of the batches tells what the code takes. */
const BATCH = 50;
const MIN_BATCHES = 5;
const WARM_UP_MS = 100;
/** Fewer deployments do not show beside the router itself, nor fewer in all beside what else the heap holds. */
const MIN_COUNTED = 100;
const MIN_HELD = 4_000;

/** A router that knows so many deployments, each with a pool and two workers, all in use. */
function makeDecider(deployments: number, strategy: RouteStrategy): { decider: Decider; keep: unknown } {
  const names = Array.from({ length: deployments }, (_, i) => `p${i}`);
  const providers = names.map((name, i) =>
    providerConfig({ name, slots: 100, meanMs: 400, nanoUsdPerToken: i + 1 }, {}),
  );
  const catalog = new Catalog(
    { providers, routes: [routeConfig({ name: 'r', targets: names, strategy })] },
    loadPriceTable(),
  );
  const clock = { now: () => 1_000, epochMs: () => 1_000 };
  const bus = { post: () => undefined } as unknown as Bus;
  const slots = new SlotTable();
  const health = new HealthTable('rtr');
  const metrics: RouterMetrics = new RouterMetrics(new Registry(), () => queue.lines);
  const ahead = new AheadGrants({ id: 'rtr', bus, clock, slots });
  const queue: Queue = new Queue({ id: 'rtr', bus, slots, health, ahead, metrics, weights: new Map() });
  const random = seeded(1);
  const decider = new Decider({ id: 'rtr', bus, clock, random, catalog, slots, health, queue, ahead, metrics });
  for (let worker = 0; worker < WORKERS; worker++) {
    const reports = names.map((name): DeploymentReport => ({
      ...{ deployment: `${name}/m`, inFlight: Math.floor(20 * random()), breaker: 'closed' as const },
      ...{ totalMs: 300 + 200 * random(), failureRatio: 0, requests: { room: SLOTS, perMinute: SLOTS } },
    }));
    health.update(`w${worker}`, reports, 1_000);
    for (const pool of names)
      slots.update({ pool, worker: `w${worker}`, issued: SLOTS, outstanding: SLOTS, capacity: 100 });
  }
  decider.sweep(1_000, true);
  return { decider, keep: catalog };
}

const ENVELOPE = Buffer.from(
  JSON.stringify({
    ...{ v: 1, id: 'req_simulated', model: 'r', endpoint: 'chat', stream: false, bodyBytes: 400, inputTokens: 100 },
    ...{ principal: { keyId: 'k', keyName: 'k', team: 't' }, deadlineEpochMs: 60_000, tried: [], affinity: 'c' },
  }),
);
const INBOX = inboxSubject('ing', 'rtr');

/** µs for each question, from its bytes to the answer's text. */
function microseconds(decider: Decider, forMs: number): { us: number; asked: number } {
  const batches = new Samples();
  let asked = 0;
  const warmUntil = performance.now() + WARM_UP_MS;
  for (const until = warmUntil + forMs; performance.now() < until || batches.size < MIN_BATCHES;) {
    const startedAt = performance.now();
    for (let i = 0; i < BATCH; i++) decider.ask(ENVELOPE, ++asked, INBOX);
    const endedAt = performance.now();
    if (startedAt >= warmUntil) batches.add(((endedAt - startedAt) * 1_000) / BATCH);
  }
  return { us: batches.quantile(0.1), asked };
}

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
