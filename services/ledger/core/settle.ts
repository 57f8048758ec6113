import type { NanoUsd } from '../../../shared/money.ts';

/**
 * What an event does, or several that are alike: its cost is spent in the windows it falls in, and no longer leased in those
 * it was reserved from.
 */
export interface Charge {
  /** Negative where a correction makes it cheaper. */
  readonly cost: NanoUsd;
  /** Names of windows, each once. */
  readonly windows: readonly string[];
  /** Ids of leases. */
  readonly leases: readonly string[];
  readonly ingress: string;
}

export interface OpenLease {
  readonly id: string;
  readonly window: string;
  readonly ingress: string;
  /** Granted and not settled yet. */
  readonly open: NanoUsd;
}

/** What the leases that an event names do not cover, by window and ingress. */
export interface Shortage {
  readonly window: string;
  readonly ingress: string;
  readonly missing: NanoUsd;
}

/**
 * Sums charges by window, and takes each cost from the leases that its event names: in each window once, from one lease
 * after the other. A lease that is not in `leases` covers nothing.
 *
 * Money is the ingress', not the lease's: what it took from two leases of a window, or beyond its reservation, it counts
 * as used of all that it holds there. So what the named leases do not cover is a `shortage`, for `coverShortages`.
 */
export class Settlement {
  readonly spent = new Map<string, NanoUsd>();
  /** By the id of the lease. */
  readonly settled = new Map<string, NanoUsd>();
  readonly #shortages = new Map<string, Shortage>();

  get shortages(): Shortage[] {
    return [...this.#shortages.values()];
  }

  add(charge: Charge, leases: ReadonlyMap<string, OpenLease>): void {
    for (const window of charge.windows) this.spent.set(window, (this.spent.get(window) ?? 0n) + charge.cost);
    if (charge.cost <= 0n || charge.leases.length === 0) return;
    const missing = new Map<string, NanoUsd>();
    for (const id of new Set(charge.leases)) {
      const lease = leases.get(id);
      if (lease === undefined) continue;
      const uncovered = missing.get(lease.window) ?? charge.cost;
      missing.set(lease.window, uncovered - this.#settle(lease, uncovered));
    }
    for (const [window, uncovered] of missing) {
      if (uncovered > 0n) this.#addShortage({ window, ingress: charge.ingress, missing: uncovered });
    }
  }

  /** Takes what is short from other leases of the same ingress in the same window, as far as they go. */
  coverShortages(leases: readonly OpenLease[]): void {
    for (const lease of leases) {
      const name = nameOf(lease);
      const shortage = this.#shortages.get(name);
      if (shortage === undefined) continue;
      const missing = shortage.missing - this.#settle(lease, shortage.missing);
      if (missing > 0n) this.#shortages.set(name, { ...shortage, missing });
      else this.#shortages.delete(name);
    }
  }

  /** @returns how much of `cost` the lease covers */
  #settle({ id, open }: OpenLease, cost: NanoUsd): NanoUsd {
    const settled = this.settled.get(id) ?? 0n;
    const rest = open - settled;
    const covered = cost < rest ? cost : rest;
    if (covered > 0n) this.settled.set(id, settled + covered);
    return covered;
  }

  #addShortage(shortage: Shortage): void {
    const name = nameOf(shortage);
    const before = this.#shortages.get(name)?.missing ?? 0n;
    this.#shortages.set(name, { ...shortage, missing: before + shortage.missing });
  }
}

function nameOf({ window, ingress }: Pick<Shortage, 'window' | 'ingress'>): string {
  return `${ingress}\0${window}`;
}
