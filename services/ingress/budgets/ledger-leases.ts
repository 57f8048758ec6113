import type { Bus, Subscription } from '../../../shared/bus.ts';
import type { Millis } from '../../../shared/clock.ts';
import type { LeaseAsk, LeaseReport } from '../../../shared/messages/lease.ts';
import { LeaseAnswer, LeaseRecall, LeaseRecalled, LeaseReportAnswer } from '../../../shared/messages/lease.ts';
import { LEASES_RECALLED, ledgerSubject } from '../../../shared/subjects.ts';

/** A lease is asked for while its request waits. */
const ASK_TIMEOUT_MS: Millis = 2_000;
const REPORT_TIMEOUT_MS: Millis = 2_000;
/** Holders that live answer a recall in a few round trips; one that does not holds on to what it has. */
const RECALL_TIMEOUT_MS: Millis = 300;

/** Where leases come from and go back to. The promises reject when nobody answers in time. */
export interface LedgerLeases {
  ask(items: LeaseAsk['items']): Promise<LeaseAnswer>;
  report(leases: LeaseReport['leases']): Promise<LeaseReportAnswer>;
  /** Resolves when every holder has given back what it does not need, or none may be waited for any longer. */
  recall(budget: string, subject: string, holders: readonly string[]): Promise<void>;
}

/** The ledgers and the other ingresses, over NATS. */
export class BusLeases implements LedgerLeases {
  readonly #bus: Bus;
  readonly #ingress: string;

  constructor(bus: Bus, ingress: string) {
    this.#bus = bus;
    this.#ingress = ingress;
  }

  ask(items: LeaseAsk['items']): Promise<LeaseAnswer> {
    const ask: LeaseAsk = { v: 1, ingress: this.#ingress, items };
    return this.#bus.request(ledgerSubject('lease'), ask, LeaseAnswer, ASK_TIMEOUT_MS);
  }

  report(leases: LeaseReport['leases']): Promise<LeaseReportAnswer> {
    const report: LeaseReport = { v: 1, ingress: this.#ingress, leases };
    return this.#bus.request(ledgerSubject('leases'), report, LeaseReportAnswer, REPORT_TIMEOUT_MS);
  }

  async recall(budget: string, subject: string, holders: readonly string[]): Promise<void> {
    const awaited = new Set(holders);
    awaited.delete(this.#ingress);
    if (awaited.size === 0) return;
    const recall: LeaseRecall = { v: 1, by: this.#ingress, budget, subject };
    await this.#bus.ask(LEASES_RECALLED, recall, LeaseRecalled, RECALL_TIMEOUT_MS, ({ ingress }) => {
      awaited.delete(ingress);
      return awaited.size === 0;
    });
  }

  /** @param giveBack resolves once what this ingress does not need of the budget is the ledger's again */
  onRecall(giveBack: (budget: string, subject: string) => Promise<void>): Subscription {
    return this.#bus.onAsk(LEASES_RECALLED, LeaseRecall, async ({ by, budget, subject }) => {
      if (by !== this.#ingress) await giveBack(budget, subject);
      const answer: LeaseRecalled = { v: 1, ingress: this.#ingress };
      return answer;
    });
  }
}
