import type { Millis } from '../../../shared/clock.ts';

/** A request that waits for a slot in any of several pools. */
export interface Waiter {
  /** Unique at this router: who asked, and its number for it. */
  readonly key: string;
  readonly pools: readonly string[];
  readonly deadline: Millis;
}

/**
 * The waiting lines of all pools: first come, first served within a pool; a request stands in the line of each pool
 * that could serve it and leaves all of them at once. Each line is bounded.
 */
export class WaitingLines<W extends Waiter> {
  readonly #maxPerPool: number;
  readonly #lines = new Map<string, Map<string, W>>();
  readonly #byKey = new Map<string, W>();

  constructor(maxPerPool: number) {
    this.#maxPerPool = maxPerPool;
  }

  get size(): number {
    return this.#byKey.size;
  }

  waitingIn(pool: string): number {
    return this.#lines.get(pool)?.size ?? 0;
  }

  /** Stands in line: its position in the shortest one, from 0; undefined when every line is full. */
  add(waiter: W): number | undefined {
    const open = waiter.pools.filter((pool) => this.waitingIn(pool) < this.#maxPerPool);
    if (open.length === 0) return undefined;
    const position = Math.min(...open.map((pool) => this.waitingIn(pool)));
    for (const pool of open) this.#line(pool).set(waiter.key, waiter);
    this.#byKey.set(waiter.key, waiter);
    return position;
  }

  /** The first in this pool's line, who stays there. */
  first(pool: string): W | undefined {
    return this.#lines.get(pool)?.values().next().value;
  }

  /** Leaves every line. */
  remove(key: string): W | undefined {
    const waiter = this.#byKey.get(key);
    if (waiter === undefined) return undefined;
    this.#byKey.delete(key);
    for (const pool of waiter.pools) {
      const line = this.#lines.get(pool);
      if (line?.delete(key) === true && line.size === 0) this.#lines.delete(pool);
    }
    return waiter;
  }

  /** Takes out everybody whose deadline has come. */
  removeExpired(now: Millis): W[] {
    const expired: W[] = [];
    for (const waiter of this.#byKey.values()) if (waiter.deadline <= now) expired.push(waiter);
    for (const waiter of expired) this.remove(waiter.key);
    return expired;
  }

  /** Takes out everybody who satisfies `predicate`. */
  removeWhere(predicate: (waiter: W) => boolean): W[] {
    const removed = [...this.#byKey.values()].filter(predicate);
    for (const waiter of removed) this.remove(waiter.key);
    return removed;
  }

  pools(): IterableIterator<string> {
    return this.#lines.keys();
  }

  #line(pool: string): Map<string, W> {
    let line = this.#lines.get(pool);
    if (line === undefined) {
      line = new Map();
      this.#lines.set(pool, line);
    }
    return line;
  }
}
