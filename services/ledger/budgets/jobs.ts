import type { Millis } from '../../../shared/clock.ts';
import { reasonOf } from '../database/database.ts';
import type { Change } from '../rules/revision.ts';
import { tellCrossings } from './crossings.ts';
import type { AlertDeps } from './deliver-alerts.ts';
import { deliverAlerts } from './deliver-alerts.ts';
import type { BudgetMetrics } from './metrics.ts';
import { reapBudgets } from './reap.ts';

/** An alert is told of this long after its threshold was reached at the latest. */
const ALERTS_EVERY_MS = 1_000;
/** A soft budget's end is known to every ingress this long after it was recorded, and a moment. */
const CROSSINGS_EVERY_MS = 500;
const REAP_EVERY_MS = 2_000;

export interface BudgetJobsDeps extends AlertDeps {
  readonly metrics: BudgetMetrics;
  /** Tells every ingress. */
  readonly announce: (change: Change & { readonly revision: bigint }) => void;
  /** How long ago all that had been spent was last known to be recorded; Infinity: never. */
  readonly recordedForMs: () => Millis;
}

export interface BudgetJobs {
  /** Ends what is under way, and begins nothing more. */
  stop(): Promise<void>;
}

/** What no message brings about: alerts and the ends of soft budgets are told of, and what time takes from budgets is taken. */
export function startBudgetJobs(deps: BudgetJobsDeps): BudgetJobs {
  const { db, log, metrics, announce, recordedForMs } = deps;
  const reap = async (): Promise<void> => {
    const reaped = await reapBudgets(db, recordedForMs());
    if (reaped === undefined || reaped.expired === 0) return;
    metrics.expired.inc(reaped.expired);
    log.warn({ leases: reaped.expired }, 'leases expired: what was reserved returns to its budgets');
  };
  const alert = async (): Promise<void> => {
    while (await deliverAlerts(deps));
  };
  const cross = async (): Promise<void> => {
    while (await tellCrossings(db, announce));
  };
  const jobs = [
    repeat(reap, REAP_EVERY_MS, 'budgets not reaped'),
    repeat(alert, ALERTS_EVERY_MS, 'alerts not told of'),
    repeat(cross, CROSSINGS_EVERY_MS, 'ends of soft budgets not told of'),
  ];

  /** One round at a time; a failure is for the next round. */
  function repeat(doOnce: () => Promise<void>, everyMs: Millis, failed: string): () => Promise<void> {
    let running: Promise<void> | undefined;
    const timer = setInterval(() => {
      running ??= doOnce()
        .catch((failure: unknown) => log.warn({ reason: reasonOf(failure) }, failed))
        .finally(() => (running = undefined));
    }, everyMs);
    return async () => {
      clearInterval(timer);
      await running;
    };
  }

  return {
    stop: async () => {
      await Promise.all(jobs.map((stop) => stop()));
    },
  };
}
