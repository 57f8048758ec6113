import type { Bus, Subscription } from '../../../shared/bus.ts';
import type { Clock } from '../../../shared/clock.ts';
import type { LeaseAnswer, LeaseReportAnswer } from '../../../shared/messages/lease.ts';
import { LeaseAsk, LeaseReport } from '../../../shared/messages/lease.ts';
import { LEDGERS, ledgerSubject } from '../../../shared/subjects.ts';
import { IngressCount } from '../core/grant.ts';
import type { Database } from '../database/schema.ts';
import { grantLeases, LEASE_TTL_MS } from './grant.ts';
import { GroupCommit } from './group-commit.ts';
import type { BudgetMetrics } from './metrics.ts';
import { applyReports } from './report.ts';

/** A transaction of this many asks takes some ten milliseconds; those that wait meanwhile lose nothing by it. */
const ASKS = { maxBatch: 64, maxWaiting: 1_024 };
/** A report may name thousands of leases. */
const REPORTS = { maxBatch: 8, maxWaiting: 256 };
/** An ingress waits for 2 s. What is granted later is granted to nobody, until it expires. */
const PATIENCE_MS = 1_500;

export interface LeaseDeskDeps {
  readonly bus: Bus;
  readonly db: Database;
  readonly clock: Clock;
  readonly metrics: Pick<BudgetMetrics, 'granted' | 'refused'>;
}

/** Answers the ingresses' asks for leases, and takes their reports. Any number of ledgers share the work. */
export class LeaseDesk {
  readonly #deps: LeaseDeskDeps;
  readonly #ingresses = new IngressCount();
  readonly #asks: GroupCommit<LeaseAsk, LeaseAnswer>;
  readonly #reports: GroupCommit<LeaseReport, string[]>;

  constructor(deps: LeaseDeskDeps) {
    this.#deps = deps;
    const { db, clock } = deps;
    const common = { clock, patienceMs: PATIENCE_MS };
    this.#asks = new GroupCommit({ ...ASKS, ...common, commit: (asks) => this.#grant(asks) });
    this.#reports = new GroupCommit({ ...REPORTS, ...common, commit: (reports) => applyReports(db, reports) });
  }

  /** Takes questions until it is unsubscribed: while Postgres answers. */
  open(): Subscription {
    const { bus, clock } = this.#deps;
    const asks = bus.onRequest(ledgerSubject('lease'), LEDGERS, LeaseAsk, (ask) => {
      this.#ingresses.seen(ask.ingress, clock.now());
      return this.#asks.ask(ask);
    });
    const reports = bus.onRequest(
      ledgerSubject('leases'),
      LEDGERS,
      LeaseReport,
      async (report): Promise<LeaseReportAnswer> => {
        this.#ingresses.seen(report.ingress, clock.now());
        return { v: 1, lost: await this.#reports.ask(report), ttlMs: LEASE_TTL_MS };
      },
    );
    return {
      unsubscribe: () => {
        asks.unsubscribe();
        reports.unsubscribe();
      },
    };
  }

  /** Resolves when nothing is under way any more; after the subscription has ended. */
  async idle(): Promise<void> {
    await Promise.all([this.#asks.idle(), this.#reports.idle()]);
  }

  async #grant(asks: readonly LeaseAsk[]): Promise<LeaseAnswer[]> {
    const { db, clock, metrics } = this.#deps;
    const answers = await grantLeases(db, asks, this.#ingresses.at(clock.now()));
    for (const { grants, refused } of answers) {
      metrics.granted.inc(grants.length);
      if (refused !== undefined && refused.isGone !== true) metrics.refused.inc();
    }
    return answers;
  }
}
