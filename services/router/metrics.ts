import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Lane } from '../../shared/messages/envelope.ts';
import { Lane as LaneNames } from '../../shared/messages/envelope.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What is told of the lines. */
interface Lines {
  pools(): Iterable<string>;
  waiting(pool: string, lane: Lane): number;
}

/** What `/metrics` says of a router. */
export class RouterMetrics {
  readonly queued: Counter.Internal;
  readonly refused: Counter<'code'>;
  readonly #placed: Counter<'reason'>;
  readonly #placedBy = new Map<string, Counter.Internal>();
  readonly #waitSeconds: Histogram<'lane'>;

  /** @param lines reads who waits now */
  constructor(registry: Registry, lines: () => Lines) {
    const registers = [registry];
    new Gauge({
      name: 'sluice_router_waiting_requests',
      help: 'Requests that wait at this router, by pool and lane; one that could be served by several pools waits in each.',
      labelNames: ['pool', 'lane'],
      registers,
      collect() {
        this.reset();
        const now = lines();
        for (const pool of now.pools()) {
          for (const lane of LaneNames.options) this.set({ pool, lane }, now.waiting(pool, lane));
        }
      },
    });
    this.#placed = new Counter({
      name: 'sluice_router_placed_total',
      help: 'Requests given a slot, by why that deployment.',
      labelNames: ['reason'],
      registers,
    });
    this.queued = new Counter({
      name: 'sluice_router_queued_total',
      help: 'Requests that had to wait.',
      registers,
    }).labels();
    this.#waitSeconds = new Histogram({
      name: 'sluice_router_queue_wait_seconds',
      help: 'How long requests waited in line until they were placed, by lane.',
      labelNames: ['lane'],
      buckets: SECONDS,
      registers,
    });
    this.refused = new Counter({
      name: 'sluice_router_refused_total',
      help: 'Requests refused, by error code.',
      labelNames: ['code'],
      registers,
    });
  }

  placed(reason: string): void {
    let counter = this.#placedBy.get(reason);
    if (counter === undefined) {
      counter = this.#placed.labels(reason);
      this.#placedBy.set(reason, counter);
    }
    counter.inc();
  }

  waited(lane: Lane, ms: number): void {
    this.#waitSeconds.observe({ lane }, ms / 1_000);
  }
}
