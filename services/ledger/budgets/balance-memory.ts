import type { WindowKey } from '../core/windows.ts';

/** Of each; some ten megabytes. Then all are forgotten, and read again. */
const MOST_KNOWN = 20_000;

/**
 * What a ledger has read of budgets and will never be otherwise: which window a lease is of, and which windows there are.
 * So that a batch need not ask again.
 */
export class BalanceMemory {
  /** The last batch was charged to some budget: the next one is looked at without asking whether there are any. */
  hasBudgets = false;
  #leases = new Map<string, WindowKey>();
  #windows = new Set<string>();

  /** undefined: it was not read. */
  windowOf(lease: string): WindowKey | undefined {
    return this.#leases.get(lease);
  }

  noteLease(lease: string, window: WindowKey): void {
    if (this.#leases.size >= MOST_KNOWN) this.#leases = new Map();
    this.#leases.set(lease, window);
  }

  hasWindow(name: string): boolean {
    return this.#windows.has(name);
  }

  /** @param name of one that was there before this transaction, which may yet be taken back */
  noteWindow(name: string): void {
    if (this.#windows.has(name)) return;
    if (this.#windows.size >= MOST_KNOWN) this.#windows = new Set();
    this.#windows.add(name);
  }

  /** It was wrong: this is not the database that it was read from, or an older state of it. */
  forget(): void {
    this.hasBudgets = false;
    this.#leases = new Map();
    this.#windows = new Set();
  }
}
