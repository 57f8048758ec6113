import type { Millis } from '../../../shared/clock.ts';
import type { Ticket } from './fair-lane.ts';
import { FairLane } from './fair-lane.ts';
import { Heap } from './heap.ts';

export type Lane = 'interactive' | 'batch';

/** A request that waits for a slot at any of several deployments. */
export interface Waiter {
  /** Unique at this router: who asked, and its number for it. */
  readonly key: string;
  /** Best first; each may be of another pool. */
  readonly deployments: ReadonlyArray<{ readonly id: string; readonly pool: string }>;
  readonly deadline: Millis;
  readonly since: Millis;
  /** Slots are shared fairly between tenants, in proportion to their weights (above 0). */
  readonly tenant: string;
  readonly weight: number;
  readonly lane: Lane;
}

/** Who should have a slot now, and for which of its deployments. */
export interface Next<W extends Waiter> {
  readonly waiter: W;
  readonly deployment: W['deployments'][number];
}

type Pool<W extends Waiter> = Record<Lane, FairLane<W>>;

/** Somebody who waits, with its ticket in each pool that had room for it. */
interface Place<W extends Waiter> {
  readonly waiter: W;
  readonly tickets: ReadonlyMap<string, Ticket<W>>;
  isHere: boolean;
}

/** Dead entries that are not worth a compaction. */
const SLACK = 16;

/**
 * The waiting lines of a router: one for each deployment, grouped by the pool whose slots they share. A request stands in
 * the line of each deployment that could serve it and leaves all of them at once.
 *
 * Interactive goes before batch: batch is served only while no interactive request waits for a usable deployment of the
 * pool, however long that takes. Within a lane of a pool tenants share fairly by weight (`FairLane`), and each tenant's
 * own are first come, first served. A tenant pays in the pool that served it, and there only.
 */
export class FairLines<W extends Waiter> {
  readonly #maxPerPool: number;
  readonly #pools = new Map<string, Pool<W>>();
  readonly #places = new Map<string, Place<W>>();
  /** Holds dead places too, but never more than live ones (and `SLACK`). */
  readonly #byDeadline = new Heap<Place<W>>((a, b) => a.waiter.deadline < b.waiter.deadline);

  /** @param maxPerPool requests that may wait in one pool, whatever their deployment and lane */
  constructor({ maxPerPool }: { maxPerPool: number }) {
    this.#maxPerPool = maxPerPool;
  }

  /** Requests that wait, each counted once. */
  get size(): number {
    return this.#places.size;
  }

  /** Requests that wait in a pool, of one lane or of both. */
  waiting(pool: string, lane: Lane): number {
    return this.#pools.get(pool)?.[lane].waiting ?? 0;
  }

  waitingIn(pool: string): number {
    return this.waiting(pool, 'interactive') + this.waiting(pool, 'batch');
  }

  /** Requests that wait in the line of one deployment, of both lanes. */
  waitingFor(deploymentId: string): number {
    let waiting = 0;
    for (const { interactive, batch } of this.#pools.values()) {
      waiting += interactive.waitingFor(deploymentId) + batch.waitingFor(deploymentId);
    }
    return waiting;
  }

  /** Pools in which somebody waits. */
  pools(): IterableIterator<string> {
    return this.#pools.keys();
  }

  /**
   * Stands in the lines of all its deployments whose pool has room. Answers how many of the same or a better lane wait in
   * the emptiest of these pools, from 0; undefined when every pool is full, and then it stands nowhere. The number is not
   * exact: fairness may serve later ones first, and some of those counted wait for other deployments of the pool; but who
   * comes later gets no smaller one while nobody leaves. Who waits already under the same key is replaced.
   */
  add(waiter: W): number | undefined {
    this.remove(waiter.key);
    const byPool = new Map<string, Set<string>>();
    let position = Infinity;
    for (const { id, pool } of waiter.deployments) {
      if (this.waitingIn(pool) >= this.#maxPerPool) continue;
      position = Math.min(position, this.#ahead(pool, waiter.lane));
      const ids = byPool.get(pool);
      if (ids === undefined) byPool.set(pool, new Set([id]));
      else ids.add(id);
    }
    if (byPool.size === 0) return undefined;
    const tickets = new Map<string, Ticket<W>>();
    for (const [pool, ids] of byPool) tickets.set(pool, this.#pool(pool)[waiter.lane].add(waiter, ids));
    const place: Place<W> = { waiter, tickets, isHere: true };
    this.#places.set(waiter.key, place);
    this.#byDeadline.push(place);
    return position;
  }

  /**
   * How many of this pool's would be served before the one that has just come, in the fair order: a tenant that floods
   * stands in its own way only. undefined: it does not stand there.
   */
  turnOf(key: string, pool: string): number | undefined {
    const place = this.#places.get(key);
    const ticket = place?.tickets.get(pool);
    const lanes = this.#pools.get(pool);
    if (place === undefined || ticket === undefined || lanes === undefined) return undefined;
    const { lane } = place.waiter;
    return lanes[lane].turnOf(ticket) + (lane === 'batch' ? lanes.interactive.waiting : 0);
  }

  /**
   * Who should be given a free slot of this pool: the best among the heads of the lines of its usable deployments. It
   * stays in line until `served` or `remove`. It is for the first of the waiter's deployments that can have it.
   * Asks `isUsable` at most once for each deployment with a line and lane, and once more for those of the chosen one.
   */
  next(pool: string, isUsable: (deploymentId: string) => boolean): Next<W> | undefined {
    const lanes = this.#pools.get(pool);
    const waiter = lanes?.interactive.first(isUsable) ?? lanes?.batch.first(isUsable);
    const deployment = waiter?.deployments.find((own) => own.pool === pool && isUsable(own.id));
    return waiter === undefined || deployment === undefined ? undefined : { waiter, deployment };
  }

  /** It has a slot of this pool: it leaves every line, and its tenant has had its turn. */
  served(key: string, pool: string): W | undefined {
    const place = this.#places.get(key);
    const ticket = place?.tickets.get(pool);
    // First, for the last to leave ends the pool's lane.
    if (place !== undefined && ticket !== undefined) this.#pools.get(pool)?.[place.waiter.lane].serve(ticket);
    return this.remove(key);
  }

  /** Leaves every line without a slot (it was given up, or its deadline came): its tenant keeps its turn. */
  remove(key: string): W | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    this.#places.delete(key);
    place.isHere = false;
    for (const [pool, ticket] of place.tickets) {
      this.#pools.get(pool)?.[place.waiter.lane].leave(ticket);
      if (this.waitingIn(pool) === 0) this.#pools.delete(pool);
    }
    if (this.#byDeadline.size > 2 * this.#places.size + SLACK) this.#byDeadline.retain(({ isHere }) => isHere);
    return place.waiter;
  }

  /** Takes out everybody whose deadline has come, earliest first. Looks at nobody else. */
  removeExpired(now: Millis): W[] {
    const expired: W[] = [];
    for (let first = this.#byDeadline.top(); first !== undefined; first = this.#byDeadline.top()) {
      if (first.isHere && first.waiter.deadline > now) break;
      this.#byDeadline.pop();
      if (!first.isHere) continue;
      this.remove(first.waiter.key);
      expired.push(first.waiter);
    }
    return expired;
  }

  /** Takes out everybody who satisfies `predicate`, in the order in which they came. Looks at all. */
  removeWhere(predicate: (waiter: W) => boolean): W[] {
    const removed: W[] = [];
    for (const { waiter } of this.#places.values()) if (predicate(waiter)) removed.push(waiter);
    for (const { key } of removed) this.remove(key);
    return removed;
  }

  #ahead(pool: string, lane: Lane): number {
    return lane === 'interactive' ? this.waiting(pool, lane) : this.waitingIn(pool);
  }

  #pool(pool: string): Pool<W> {
    let lanes = this.#pools.get(pool);
    if (lanes === undefined) {
      // No more tenants are remembered than could wait.
      const lane = (): FairLane<W> => new FairLane(this.#maxPerPool);
      lanes = { interactive: lane(), batch: lane() };
      this.#pools.set(pool, lanes);
    }
    return lanes;
  }
}
