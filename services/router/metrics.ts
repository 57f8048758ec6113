import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

export interface RouterMetrics {
  readonly placed: Counter.Internal;
  readonly queued: Counter.Internal;
  readonly refused: Counter<'code'>;
}

/** @param waiting reads the number of requests in line */
export function createRouterMetrics(registry: Registry, waiting: () => number): RouterMetrics {
  new Gauge({
    name: 'sluice_router_waiting_requests',
    help: 'Requests that wait for a free slot at this router.',
    registers: [registry],
    collect() {
      this.set(waiting());
    },
  });
  const placed = new Counter({
    name: 'sluice_router_placed_total',
    help: 'Requests given a slot.',
    registers: [registry],
  });
  const queued = new Counter({
    name: 'sluice_router_queued_total',
    help: 'Requests that had to wait for a slot.',
    registers: [registry],
  });
  const refused = new Counter({
    name: 'sluice_router_refused_total',
    help: 'Requests refused, by error code.',
    labelNames: ['code'],
    registers: [registry],
  });
  return { placed: placed.labels(), queued: queued.labels(), refused };
}
