import type { Millis } from '../../../shared/clock.ts';
import type { Placed } from '../../../shared/messages/envelope.ts';
import { AHEAD_FOR_MS } from '../../../shared/messages/slots.ts';

/** Slots asked for at once; a router gives no more than a quarter of what is free. */
const MAX_WANTED = 256;
/** Names for which slots may be held; requests for others ask a router each. */
const MAX_NAMES = 256;

/** Slots `from`..`to` (inclusive) that go back to their worker. */
export interface UnusedSlots {
  readonly worker: string;
  readonly pool: string;
  readonly router: string;
  readonly from: number;
  readonly to: number;
}

/** What one answer left over, for `AHEAD_FOR_MS`. */
interface Grant {
  readonly placed: Placed;
  readonly ranges: Array<{ readonly worker: string; next: number; readonly to: number }>;
  readonly until: Millis;
}

interface Name {
  grant: Grant | undefined;
  /** A question that asks for slots ahead is on its way until it is answered, or until then. */
  askedUntil: Millis;
  /** Requests within the window that began at `since`, and within the one before: the demand. */
  since: Millis;
  count: number;
  countBefore: number;
}

/**
 * Slots that routers promised this ingress ahead, by model name: a lease of capacity, as a budget's is of money. While
 * there are some, and no contention, a request is placed without a hop. How many are asked for follows how many requests
 * came of late, so that a name called now and then holds none.
 */
export class SlotsAhead {
  readonly #names = new Map<string, Name>();

  /** A place for a new request of this name; undefined: a router must be asked. */
  take(model: string, now: Millis): Placed | undefined {
    const name = this.#name(model, now);
    if (name === undefined) return undefined;
    this.#count(name, now);
    const { grant } = name;
    if (grant === undefined || grant.until <= now) return undefined;
    let best: Grant['ranges'][number] | undefined;
    // The most to give first, as the router would, so that the load spreads.
    for (const range of grant.ranges) if (best === undefined || leftOf(range) > leftOf(best)) best = range;
    if (best === undefined || leftOf(best) === 0) return undefined;
    return { ...grant.placed, worker: best.worker, slot: best.next++, queueMs: 0 };
  }

  /** How many slots the question of a request that found none should ask for; 0 while another question already does. */
  wanted(model: string, now: Millis): number {
    const name = this.#names.get(model);
    if (name === undefined || now < name.askedUntil) return 0;
    const wanted = Math.min(MAX_WANTED, Math.max(name.count - 1, name.countBefore));
    if (wanted > 0) name.askedUntil = now + AHEAD_FOR_MS;
    return wanted;
  }

  /** An answer for this name came. Returns what it replaces. */
  add(model: string, { ahead, ...placed }: Placed, now: Millis): UnusedSlots[] {
    const name = this.#names.get(model);
    if (ahead === undefined) return [];
    const ranges = ahead.map(({ worker, from, to }) => ({ worker, next: from, to }));
    const grant = { placed, ranges, until: now + AHEAD_FOR_MS };
    if (name === undefined) return unusedOf(grant);
    name.askedUntil = now;
    const replaced = unusedOf(name.grant);
    name.grant = grant;
    return replaced;
  }

  /** Somebody waits for this pool at the router. */
  recall(router: string, pool: string): UnusedSlots[] {
    return this.#remove(({ placed }) => placed.router === router && placed.pool === pool);
  }

  /** Its slots are gone with it. */
  removeWorker(worker: string): void {
    for (const { grant } of this.#names.values()) {
      const at = grant?.ranges.findIndex((range) => range.worker === worker) ?? -1;
      if (at >= 0) grant?.ranges.splice(at, 1);
    }
  }

  /** Its slots are free again at their workers. */
  removeRouter(router: string): void {
    this.#remove(({ placed }) => placed.router === router);
  }

  /** The slots whose time is over; names that nobody calls any more are forgotten. */
  expire(now: Millis): UnusedSlots[] {
    const expired = this.#remove(({ until }) => until <= now);
    for (const [model, name] of this.#names) {
      if (name.grant === undefined && now - name.since >= 2 * AHEAD_FOR_MS) this.#names.delete(model);
    }
    return expired;
  }

  /** Everything goes back: this ingress ends. */
  clear(): UnusedSlots[] {
    const all = this.#remove(() => true);
    this.#names.clear();
    return all;
  }

  #remove(predicate: (grant: Grant) => boolean): UnusedSlots[] {
    const removed: UnusedSlots[] = [];
    for (const name of this.#names.values()) {
      if (name.grant === undefined || !predicate(name.grant)) continue;
      removed.push(...unusedOf(name.grant));
      name.grant = undefined;
    }
    return removed;
  }

  #name(model: string, now: Millis): Name | undefined {
    let name = this.#names.get(model);
    if (name === undefined && this.#names.size < MAX_NAMES) {
      name = { grant: undefined, askedUntil: -Infinity, since: now, count: 0, countBefore: 0 };
      this.#names.set(model, name);
    }
    return name;
  }

  #count(name: Name, now: Millis): void {
    const age = now - name.since;
    if (age >= AHEAD_FOR_MS) {
      name.countBefore = age < 2 * AHEAD_FOR_MS ? name.count : 0;
      name.count = 0;
      name.since = now;
    }
    name.count++;
  }
}

/** What an answer promised ahead, as it goes back unused. */
export function aheadOf({ ahead, pool, router }: Placed): UnusedSlots[] {
  return (ahead ?? []).map(({ worker, from, to }) => ({ worker, pool, router, from, to }));
}

function leftOf({ next, to }: { readonly next: number; readonly to: number }): number {
  return Math.max(0, to + 1 - next);
}

function unusedOf(grant: Grant | undefined): UnusedSlots[] {
  if (grant === undefined) return [];
  const { pool, router } = grant.placed;
  return grant.ranges
    .filter((range) => leftOf(range) > 0)
    .map(({ worker, next, to }) => ({ worker, pool, router, from: next, to }));
}
