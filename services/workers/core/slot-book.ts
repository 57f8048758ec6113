import type { Millis } from '../../../shared/clock.ts';

/** A slot that a router says it promised, and no task came for: after this long it is free again. */
const LOST_AFTER_MS = 2_000;
/** A router that was asked to give slots back is asked again after this long. */
const RECALL_AGAIN_MS = 100;

interface RouterShare {
  /** Its slots are numbered from here, exclusive. */
  readonly base: number;
  /** The last slot that was given to this router. */
  issued: number;
  /** Those of them that no task has come for. */
  readonly outstanding: Set<number>;
  /** Slots up to `spent` are promised or given back, says the router; `spentSince` is when it first said so. */
  spent: number;
  spentSince: Millis;
  /** Requests that wait at this router. */
  waiting: number;
  /** When it was last given a slot for one of them, in turns: the longest ago is next. */
  servedAt: number;
  recalledAt: Millis;
  levelledAt: Millis;
}

/**
 * One pool's slots at one worker: each is free, issued to one router, or taken by an attempt, and never two of these
 * (`busy + outstanding <= capacity`). Slots are shared out evenly between the routers that live, also when one comes later;
 * a router with waiting requests gets free ones first, and idle ones are called back from the others for it.
 *
 * The capacity may change. When it shrinks, attempts that run and slots that are promised keep theirs (`free` is negative
 * meanwhile), idle slots are called back, and until there is room again none is given out or taken without one.
 */
export class SlotBook {
  capacity: number;
  readonly #routers = new Map<string, RouterShare>();
  #busy = 0;
  #outstanding = 0;
  /** All slots ever issued. A router's numbers begin here, so they never repeat, even for a router that comes back. */
  #everIssued = 0;
  #turn = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get busy(): number {
    return this.#busy;
  }

  /** Negative while more are out than the capacity, which has shrunk. */
  get free(): number {
    return this.capacity - this.#busy - this.#outstanding;
  }

  /** What a router is told: the last slot that is or was its own, and how many no task has come for. */
  account(router: string): { issued: number; outstanding: number } {
    const share = this.#routers.get(router);
    return { issued: share?.issued ?? 0, outstanding: share?.outstanding.size ?? 0 };
  }

  /** A router lives. */
  addRouter(router: string, now: Millis): void {
    if (this.#routers.has(router)) return;
    const base = this.#everIssued;
    const share = {
      base,
      issued: base,
      outstanding: new Set<number>(),
      spent: base,
      spentSince: now,
      waiting: 0,
      servedAt: 0,
      recalledAt: -Infinity,
      levelledAt: -Infinity,
    };
    this.#routers.set(router, share);
  }

  /** A router died: what it held is free again. A task that it placed just before finds a free slot, or comes too late. */
  removeRouter(router: string): void {
    const share = this.#routers.get(router);
    if (share === undefined) return;
    this.#outstanding -= share.outstanding.size;
    this.#routers.delete(router);
  }

  get routers(): IterableIterator<string> {
    return this.#routers.keys();
  }

  setWaiting(router: string, waiting: number): void {
    const share = this.#routers.get(router);
    if (share !== undefined) share.waiting = waiting;
  }

  /** A task came for a slot. False: the slot is not this router's any more and none is free; the task goes elsewhere. */
  take(router: string, slot: number): boolean {
    const share = this.#routers.get(router);
    if (share?.outstanding.delete(slot) === true) this.#outstanding--;
    else if (this.free <= 0) return false;
    this.#busy++;
    return true;
  }

  /** An attempt ended. */
  release(): void {
    this.#busy--;
  }

  /** Slots come back unused: given back on recall, or by an ingress whose client had left. */
  giveBack(router: string, from: number, to: number): void {
    const share = this.#routers.get(router);
    if (share === undefined) return;
    for (let slot = Math.max(share.base + 1, from); slot <= Math.min(to, share.issued); slot++) {
      if (!share.outstanding.delete(slot)) continue;
      this.#outstanding--;
      // It had some: it may have more. One that had none is asked again later, or the two would do nothing else.
      share.recalledAt = -Infinity;
    }
  }

  /** The router's own account: slots up to `spent` are gone from it. Those that stay untaken for `LOST_AFTER_MS` were lost. */
  reconcile(router: string, spent: number, now: Millis): void {
    const share = this.#routers.get(router);
    if (share === undefined) return;
    if (now - share.spentSince >= LOST_AFTER_MS) {
      for (const slot of share.outstanding) {
        if (slot <= share.spent && share.outstanding.delete(slot)) this.#outstanding--;
      }
      share.spent = spent;
      share.spentSince = now;
    }
  }

  /**
   * Hands out what is free. Answers the routers that have more now than before.
   *
   * While nobody waits and no router runs short, it gathers some first: an attempt that ends is then no message of its
   * own, which under light load would cost as much as placing a request.
   * @param isDue hand out everything now, as with each heartbeat
   */
  issue({ isDue = false } = {}): string[] {
    if (this.free <= 0 || this.#routers.size === 0) return [];
    const gained = new Set<string>();
    this.#serveWaiting(gained);
    const fair = Math.ceil(this.capacity / this.#routers.size);
    const poorestNow = this.#poorest(Infinity)?.[1].outstanding.size ?? 0;
    if (!isDue && this.free < this.capacity / 8 && poorestNow >= fair / 2) return [...gained];
    while (this.free > 0) {
      const poorest = this.#poorest(fair);
      if (poorest === undefined) break;
      const [router, share] = poorest;
      // With one router this is all at once; with several, one by one keeps them level.
      this.#give(share, this.#routers.size === 1 ? this.free : 1);
      gained.add(router);
    }
    return [...gained];
  }

  /**
   * Who should give slots back, and how many: all that is needed where requests wait elsewhere or the capacity has shrunk,
   * else what is above an even share while another router has less than half of one (it has just come, and would place
   * nothing here). Marks them as asked.
   */
  recall(now: Millis): Array<{ router: string; count: number }> {
    if (this.free > 0) return [];
    const level = Math.floor(this.#outstanding / Math.max(1, this.#routers.size));
    let waiting = 0;
    let short = 0;
    for (const share of this.#routers.values()) {
      waiting += share.waiting;
      if (share.outstanding.size < level / 2) short += level - share.outstanding.size;
    }
    const needed = waiting - this.free;
    const kept = needed > 0 ? 0 : level;
    let missing = needed > 0 ? needed : short;
    const asked: Array<{ router: string; count: number }> = [];
    for (const [router, share] of this.#routers) {
      if (missing === 0) break;
      const count = Math.min(missing, share.outstanding.size - kept);
      const asking = needed > 0 ? 'recalledAt' : 'levelledAt';
      if (share.waiting > 0 || count <= 0 || now - share[asking] < RECALL_AGAIN_MS) continue;
      share[asking] = now;
      missing -= count;
      asked.push({ router, count });
    }
    return asked;
  }

  /** One slot each in turn: no router's line waits for the end of another's. */
  #serveWaiting(gained: Set<string>): void {
    const line = [...this.#routers]
      .filter(([, share]) => share.waiting > 0)
      .sort(([, a], [, b]) => a.servedAt - b.servedAt);
    for (let next = line.shift(); next !== undefined && this.free > 0; next = line.shift()) {
      const [router, share] = next;
      this.#give(share, 1);
      share.waiting--;
      share.servedAt = ++this.#turn;
      gained.add(router);
      if (share.waiting > 0) line.push(next);
    }
  }

  #give(share: RouterShare, count: number): void {
    for (let i = 0; i < count; i++) share.outstanding.add(++share.issued);
    this.#outstanding += count;
    this.#everIssued += count;
    // Whatever it answered before, now it has some.
    share.recalledAt = -Infinity;
  }

  #poorest(below: number): [string, RouterShare] | undefined {
    let poorest: [string, RouterShare] | undefined;
    for (const entry of this.#routers) {
      if (entry[1].outstanding.size >= below) continue;
      if (poorest === undefined || entry[1].outstanding.size < poorest[1].outstanding.size) poorest = entry;
    }
    return poorest;
  }
}
