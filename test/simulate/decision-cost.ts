/** What one decision of a router takes, in real time. */
import { Registry } from 'prom-client';
import type { Bus } from '../../shared/bus.ts';
import { Catalog } from '../../shared/catalog.ts';
import type { RouteStrategy } from '../../shared/config.ts';
import type { DeploymentReport } from '../../shared/messages/beat.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { inboxSubject } from '../../shared/subjects.ts';
import { seeded } from '../../shared/testing/seeded.ts';
import { AheadGrants } from '../../services/router/ahead.ts';
import { HealthTable } from '../../services/router/core/health-table.ts';
import { SlotTable } from '../../services/router/core/slot-table.ts';
import { Decider } from '../../services/router/decide.ts';
import { RouterMetrics } from '../../services/router/metrics.ts';
import { Queue } from '../../services/router/queue.ts';
import { Samples } from './samples.ts';
import { providerConfig, routeConfig } from './world.ts';

/** µs for one decision at so many deployments: wanted at most. */
export const DECISION_TARGET = { deployments: 100, us: 20 };
const WORKERS = 2;
const SLOTS = 1_000_000_000;
/** A batch is long enough for the timer; the least disturbed tenth of the batches tells what the code takes. */
const BATCH = 50;
const MIN_BATCHES = 5;
const WARM_UP_MS = 100;

/** A router that knows so many deployments, each with a pool and two workers, all in use. */
export function makeDecider(deployments: number, strategy: RouteStrategy): { decider: Decider; keep: unknown } {
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
export function microseconds(decider: Decider, forMs: number): { us: number; asked: number } {
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
