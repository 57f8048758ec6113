import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Clock } from '../../shared/clock.ts';
import type { UsageJournal } from '../../shared/journal.ts';
import type { DeclineReason } from './consume.ts';
import type { BreakerState } from './core/breaker.ts';
import type { Guard } from './core/guard.ts';
import type { Guards } from './guards.ts';
import type { WorkerPool } from './pool.ts';

/** Clients choose model names: deployments beyond this many are counted under `other`, and have no gauges. */
const MAX_LABELS = 1_000;
const STATES: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };

export interface WorkerMetricsDeps {
  readonly clock: Clock;
  readonly pools: ReadonlyMap<string, WorkerPool>;
  readonly guards: () => Guards;
  readonly journal: UsageJournal;
}

/** What `/metrics` says of a worker's pools and deployments. */
export class WorkerMetrics {
  readonly #transitions: Counter<'deployment' | 'to'>;
  readonly #declined: Counter<'pool' | 'reason'>;
  readonly #degraded: Counter;
  readonly #labels = new Set<string>();

  constructor(registry: Registry, { clock, pools, guards, journal }: WorkerMetricsDeps) {
    const registers = [registry];
    this.#transitions = new Counter({
      name: 'sluice_breaker_transitions_total',
      help: 'Circuit breakers that changed their state, by deployment and new state.',
      labelNames: ['deployment', 'to'],
      registers,
    });
    this.#declined = new Counter({
      name: 'sluice_worker_declined_total',
      help: 'Tasks that were sent back without an attempt, by pool and reason.',
      labelNames: ['pool', 'reason'],
      registers,
    });
    this.#degraded = new Counter({
      name: 'sluice_limits_degraded_total',
      help: 'Decisions of limits that all workers share, made without Redis.',
      registers,
    });
    const ofPools = (name: string, help: string, value: (pool: WorkerPool) => number): void => {
      new Gauge({
        name,
        help,
        labelNames: ['pool'],
        registers,
        collect() {
          for (const pool of pools.values()) this.set({ pool: pool.name }, value(pool));
        },
      });
    };
    ofPools('sluice_worker_in_flight', 'Attempts under way, by pool.', (pool) => pool.inFlight);
    ofPools('sluice_worker_capacity', 'Attempts that may be under way at once, by pool.', (pool) => pool.capacity);
    const ofDeployments = (name: string, help: string, value: (guard: Guard, now: number) => number): void => {
      new Gauge({
        name,
        help,
        labelNames: ['deployment'],
        registers,
        collect() {
          // Those that were forgotten are gone from here too.
          this.reset();
          let count = 0;
          const now = clock.now();
          for (const guard of guards().values()) {
            if (count++ >= MAX_LABELS) return;
            this.set({ deployment: guard.deployment }, value(guard, now));
          }
        },
      });
    };
    ofDeployments(
      'sluice_deployment_breaker_state',
      'Circuit breaker: 0 closed, 1 half-open, 2 open.',
      (guard, now) => STATES[guard.state(now)],
    );
    ofDeployments('sluice_deployment_throttled', '1 while the rate lets no call through.', (guard, now) =>
      guard.throttledMs(now) > 0 ? 1 : 0,
    );
    ofDeployments('sluice_deployment_in_flight', 'Calls under way, by deployment.', (guard) => guard.inFlight);
    ofDeployments(
      'sluice_deployment_failure_ratio',
      'Share (0..1) of the calls in the breaker’s window that failed.',
      (guard, now) => guard.failureRatio(now),
    );
    new Gauge({
      name: 'sluice_worker_usage_backlog',
      help: 'Usage events that the broker has not acknowledged.',
      registers,
      collect() {
        this.set(journal.backlog);
      },
    });
  }

  breakerChanged(deployment: string, to: BreakerState): void {
    if (this.#labels.size < MAX_LABELS) this.#labels.add(deployment);
    this.#transitions.inc({ deployment: this.#labels.has(deployment) ? deployment : 'other', to });
  }

  declined(pool: string, reason: DeclineReason): void {
    this.#declined.inc({ pool, reason });
  }

  decidedWithoutRedis(): void {
    this.#degraded.inc();
  }
}
