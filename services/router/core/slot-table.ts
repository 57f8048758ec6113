import type { SlotRange } from '../../../shared/messages/envelope.ts';

/** What this router holds of one worker's slots in one pool: `spent`+1..`issued` may be promised. */
interface Holding {
  readonly worker: string;
  issued: number;
  spent: number;
  capacity: number;
}

/** What a worker says of its slots: see `SlotsIssued`. */
export interface IssuedSlots {
  readonly pool: string;
  readonly worker: string;
  readonly issued: number;
  readonly outstanding: number;
  readonly capacity: number;
}

export interface Slot {
  readonly worker: string;
  readonly slot: number;
}

/**
 * The slots that workers have issued to this router, by pool and worker. Soft state: counters are cumulative, so it is
 * rebuilt by the next message of each worker, and `take` promises each slot once.
 */
export class SlotTable {
  readonly #pools = new Map<string, Map<string, Holding>>();
  /** Workers that an ingress found dead: not chosen until they are heard of again. */
  readonly #suspects = new Set<string>();

  /**
   * A worker's own account. Slots that it no longer counts as this router's are not promised: it took them back, or this
   * router was silent and is known to it anew. Answers whether there is a slot of the pool to promise now.
   */
  update({ pool, worker, issued, outstanding, capacity }: IssuedSlots): boolean {
    const holdings = this.#holdings(pool);
    this.#suspects.delete(worker);
    let holding = holdings.get(worker);
    if (holding === undefined) {
      holding = { worker, issued: 0, spent: 0, capacity };
      holdings.set(worker, holding);
    }
    holding.issued = Math.max(holding.issued, issued);
    holding.spent = Math.max(holding.spent, issued - outstanding);
    holding.capacity = capacity;
    return leftOf(holding) > 0;
  }

  /** The worker is gone or drains: nothing of it is promised any more. */
  removeWorker(worker: string): void {
    this.#suspects.delete(worker);
    for (const [pool, holdings] of this.#pools) {
      if (holdings.delete(worker) && holdings.size === 0) this.#pools.delete(pool);
    }
  }

  /** An ingress met this worker dead; a later `update` clears it. */
  suspect(worker: string): void {
    this.#suspects.add(worker);
  }

  /** A suspect counts until it is removed: it may be alive, and a request can wait for that. */
  hasWorkers(pool: string): boolean {
    return this.#pools.has(pool);
  }

  pools(): IterableIterator<string> {
    return this.#pools.keys();
  }

  /** Every worker of the pool that is known, suspects too. */
  workersOf(pool: string): Iterable<string> {
    return this.#pools.get(pool)?.keys() ?? [];
  }

  /**
   * Promises one slot of the pool, of the worker that has the most to give (so load spreads), passing by the workers in
   * `avoid` while another has one.
   * @param mayUse whether what is to be called can be called by this worker now
   */
  take(pool: string, avoid: ReadonlySet<string>, mayUse: (worker: string) => boolean = () => true): Slot | undefined {
    const holdings = this.#pools.get(pool);
    if (holdings === undefined) return undefined;
    let best: Holding | undefined;
    let bestScore = 0;
    for (const holding of holdings.values()) {
      const left = leftOf(holding);
      if (left <= 0 || this.#suspects.has(holding.worker)) continue;
      const score = avoid.has(holding.worker) ? 0.5 / holding.capacity : left;
      if (score > bestScore && mayUse(holding.worker)) {
        best = holding;
        bestScore = score;
      }
    }
    if (best === undefined) return undefined;
    best.spent++;
    return { worker: best.worker, slot: best.spent };
  }

  /**
   * Promises up to `count` slots of the pool ahead, from each worker in proportion to what it has left, and never more
   * than a quarter of that: the rest stays for whoever asks next.
   */
  takeAhead(pool: string, count: number): SlotRange[] {
    const able = [...(this.#pools.get(pool)?.values() ?? [])].filter(({ worker }) => !this.#suspects.has(worker));
    const total = able.reduce((sum, holding) => sum + leftOf(holding), 0);
    const ranges: SlotRange[] = [];
    for (const holding of able) {
      const left = leftOf(holding);
      const taken = Math.floor(Math.min((count * left) / Math.max(1, total), left / 4));
      if (taken < 1) continue;
      ranges.push({ worker: holding.worker, from: holding.spent + 1, to: holding.spent + taken });
      holding.spent += taken;
    }
    return ranges;
  }

  /** Gives up to `count` unpromised slots back: the range that is the worker's again, empty when `to < from`. */
  giveBack(pool: string, worker: string, count: number): { from: number; to: number } {
    const holding = this.#pools.get(pool)?.get(worker);
    if (holding === undefined) return { from: 1, to: 0 };
    const from = holding.spent + 1;
    const to = Math.max(holding.spent, Math.min(holding.issued, holding.spent + count));
    holding.spent = to;
    return { from, to };
  }

  /** This router's account, for its heartbeat. */
  spent(): Array<{ worker: string; pool: string; spent: number }> {
    const all: Array<{ worker: string; pool: string; spent: number }> = [];
    for (const [pool, holdings] of this.#pools) {
      for (const { worker, spent } of holdings.values()) all.push({ worker, pool, spent });
    }
    return all;
  }

  #holdings(pool: string): Map<string, Holding> {
    let holdings = this.#pools.get(pool);
    if (holdings === undefined) {
      holdings = new Map();
      this.#pools.set(pool, holdings);
    }
    return holdings;
  }
}

/** Slots that may be promised. */
function leftOf({ issued, spent }: Holding): number {
  return issued - spent;
}
