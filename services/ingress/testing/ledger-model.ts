import type { LeaseAnswer, LeaseAsk, LeaseReport, LeaseReportAnswer } from '../../../shared/messages/lease.ts';
import type { LedgerLeases } from '../budgets/ledger-leases.ts';

interface ModelLease {
  readonly key: string;
  readonly ingress: string;
  amount: number;
  settled: number;
}

interface ModelBudget {
  limit: number;
  spent: number;
}

/** What an ingress gives back when it is called for it. */
type GiveBack = (budget: string, subject: string) => Promise<void>;

/**
 * A ledger as its messages describe it, in memory and without a clock: for tests of what an ingress does with its leases.
 * Each answer comes a turn later, and whatever is granted is checked against the limit.
 */
export class LedgerModel {
  readonly budgets = new Map<string, ModelBudget>();
  readonly leases = new Map<string, ModelLease>();
  readonly ingresses = new Map<string, GiveBack>();
  /** How often it was asked for leases. */
  asks = 0;
  isAway = false;
  #ids = 0;

  budget(budget: string, subject: string, limit: number): ModelBudget {
    const made = { limit, spent: 0 };
    this.budgets.set(`${budget} ${subject}`, made);
    return made;
  }

  /** Granted and not settled yet. */
  leased(key: string): number {
    let sum = 0;
    for (const lease of this.leases.values()) if (lease.key === key) sum += lease.amount - lease.settled;
    return sum;
  }

  /** An event comes: what an attempt cost, and the leases that it was reserved from. */
  settle(ids: readonly string[], cost: number): void {
    for (const id of ids) {
      const lease = this.leases.get(id);
      if (lease === undefined) continue;
      lease.settled += Math.min(cost, lease.amount - lease.settled);
      const budget = this.budgets.get(lease.key);
      if (budget !== undefined) budget.spent += cost;
    }
  }

  /** What one ingress says and hears. */
  door(ingress: string): LedgerLeases {
    return {
      ask: async (items) => {
        await this.#turn();
        return this.#ask(ingress, items);
      },
      report: async (leases) => {
        await this.#turn();
        return this.#report(ingress, leases);
      },
      recall: async (budget, subject, holders) => {
        await Promise.all(holders.flatMap((holder) => this.ingresses.get(holder)?.(budget, subject) ?? []));
      },
    };
  }

  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.isAway) throw new Error('the ledger is away');
  }

  #ask(ingress: string, items: LeaseAsk['items']): LeaseAnswer {
    this.asks++;
    for (const { budget, subject, need } of items) {
      const key = `${budget} ${subject}`;
      const held = this.budgets.get(key);
      const refused = { budget, subject, name: budget, limitNanoUsd: held?.limit ?? 0, spentNanoUsd: held?.spent ?? 0 };
      if (held === undefined) return { v: 1, grants: [], refused: { ...refused, holders: [], isGone: true } };
      if (this.#left(key) >= need) continue;
      const others = this.leases.values().filter((lease) => lease.key === key && lease.ingress !== ingress);
      const holders = [...new Set(others.map((lease) => lease.ingress))];
      return { v: 1, grants: [], refused: { ...refused, holders } };
    }
    const grants = items.map(({ budget, subject, need, want }) => {
      const key = `${budget} ${subject}`;
      const amount = Math.max(need, Math.min(want, Math.floor(this.#left(key) / (4 * this.ingresses.size))));
      const lease = `lease-${++this.#ids}`;
      this.leases.set(lease, { key, ingress, amount, settled: 0 });
      if (this.#left(key) < 0) throw new Error('overshot');
      return { lease, budget, subject, amountNanoUsd: amount, ttlMs: 15_000 };
    });
    return { v: 1, grants };
  }

  #report(ingress: string, leases: LeaseReport['leases']): LeaseReportAnswer {
    const lost = leases.flatMap(({ lease: id, keep, isClosed }) => {
      const lease = this.leases.get(id);
      if (lease?.ingress !== ingress) return [id];
      lease.amount = Math.max(lease.settled, Math.min(lease.amount, keep));
      if (isClosed && lease.amount === lease.settled) this.leases.delete(id);
      return [];
    });
    return { v: 1, lost, ttlMs: 15_000 };
  }

  #left(key: string): number {
    const budget = this.budgets.get(key);
    return budget === undefined ? 0 : budget.limit - budget.spent - this.leased(key);
  }
}
