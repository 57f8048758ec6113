import type { Bus } from '../../shared/bus.ts';
import type { Deployment } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import type { OnLimitEnd } from '../../shared/config.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { SlotsWanted } from '../../shared/messages/slots.ts';
import { wantSubject } from '../../shared/subjects.ts';
import type { AheadGrants } from './ahead.ts';
import { expectedWaitMs, shortestWaitMs } from './core/expected-wait.ts';
import type { Waiter } from './core/fair-lines.ts';
import { FairLines } from './core/fair-lines.ts';
import type { HealthTable } from './core/health-table.ts';
import { ServiceRate } from './core/service-rate.ts';
import type { Slot, SlotTable } from './core/slot-table.ts';
import type { RouterMetrics } from './metrics.ts';
import type { Question, Serving } from './question.ts';

/** Requests that may wait for one pool at one router; the next one is told `queue_full`. */
const MAX_WAITING_PER_POOL = 10_000;

/** What a request that waits needs once a slot is there. */
export interface WaitingRequest extends Waiter {
  readonly deployments: readonly Deployment[];
  readonly question: Question;
  readonly serving: Serving;
  /** When `deadline` is the route's patience and not the request's own. */
  readonly then: OnLimitEnd | undefined;
}

/** A waiting request whose turn it is. */
export interface Served {
  readonly question: Question;
  readonly serving: Serving;
  readonly deployment: Deployment;
  readonly slot: Slot;
  readonly isFallback: boolean;
}

export interface QueueDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly slots: SlotTable;
  readonly health: HealthTable;
  readonly ahead: AheadGrants;
  readonly metrics: RouterMetrics;
  /** Shares of tenants, by team or key name; 1 for those that are not here. */
  readonly weights: ReadonlyMap<string, number>;
}

/** Those who wait at this router, and what workers are told of them. */
export class Queue {
  readonly #deps: QueueDeps;
  readonly #lines = new FairLines<WaitingRequest>({ maxPerPool: MAX_WAITING_PER_POOL });
  readonly #rates = new Map<string, ServiceRate>();
  /** Pools whose workers have been asked for slots in this turn. */
  readonly #wantedThisTurn = new Set<string>();

  constructor(deps: QueueDeps) {
    this.#deps = deps;
  }

  get lines(): Pick<FairLines<WaitingRequest>, 'size' | 'pools' | 'waiting'> {
    return this.#lines;
  }

  /** A team stands in line as one, a key that has none by itself. */
  shareOf({ team, keyName }: Principal): { tenant: string; weight: number } {
    const tenant = team ?? keyName;
    return { tenant, weight: this.#deps.weights.get(tenant) ?? 1 };
  }

  pools(): string[] {
    return [...this.#lines.pools()];
  }

  /** Whether somebody waits for the pool who could be served with its next slot. */
  isWaitedFor(pool: string, now: Millis): boolean {
    return this.#lines.waitingIn(pool) > 0 && this.#lines.next(pool, this.#isUsable(pool, now)) !== undefined;
  }

  /** Stands in line: its position, or undefined when the lines are full. The workers are told at the end of this turn. */
  add(waiter: WaitingRequest, now: Millis): number | undefined {
    const position = this.#lines.add(waiter);
    if (position === undefined) return undefined;
    this.#deps.metrics.queued.inc();
    for (const pool of new Set(waiter.deployments.map((deployment) => deployment.pool))) {
      this.#rate(pool).lineIsThere(now);
      this.#wantSoon(pool, now);
    }
    return position;
  }

  /** How long somebody at this position will wait in the best of its lines; undefined: nothing is known. */
  expectedWaitMs(waiter: WaitingRequest, position: number, now: Millis): Millis | undefined {
    const { health, slots } = this.#deps;
    const { tokens } = waiter.question;
    const waits = waiter.deployments.map(({ id, pool }) => {
      const usableAt = health.usableAt(id, slots.workersOf(pool), tokens, now);
      return expectedWaitMs({
        position: this.#lines.turnOf(waiter.key, pool) ?? position,
        capacity: 1,
        meanServiceMs: this.#rates.get(pool)?.intervalMs(now),
        // A failed check may pass at any time.
        earliestUsableInMs: usableAt === Infinity ? 0 : Math.max(0, usableAt - now),
      });
    });
    return shortestWaitMs(waits);
  }

  /** Gives the pool's slots to those whose turn it is, as far as they go. */
  serve(pool: string, now: Millis, place: (served: Served) => void): void {
    const { health, metrics, slots } = this.#deps;
    const hadLine = this.#lines.waitingIn(pool) > 0;
    const isUsable = this.#isUsable(pool, now);
    const short = new Set<string>();
    for (;;) {
      const next = this.#lines.next(pool, (id) => !short.has(id) && isUsable(id));
      if (next === undefined) break;
      const { waiter } = next;
      const { question, serving } = waiter;
      const { deployment } = next;
      const mayUse = (worker: string): boolean => health.isUsableAt(deployment.id, worker, question.tokens, now);
      const slot = slots.take(pool, serving.avoid, mayUse);
      if (slot === undefined) {
        // The pool may have a slot where this deployment's limit has too little room for who is next: others go on.
        short.add(deployment.id);
        continue;
      }
      this.#lines.served(waiter.key, pool);
      this.#rate(pool).served(now);
      metrics.waited(waiter.lane, now - waiter.since);
      const isFallback = !serving.resolution.targets.some((target) => target.deployment === deployment);
      place({ question, serving, deployment, slot, isFallback });
    }
    if (!hadLine || this.#lines.waitingIn(pool) > 0) return;
    this.#rate(pool).lineEnded(now);
    // Until they know, workers would keep what is free for us, while others may wait for it.
    this.want(pool, now);
  }

  remove(key: string): void {
    this.#lines.remove(key);
  }

  removeExpired(now: Millis): WaitingRequest[] {
    return this.#lines.removeExpired(now);
  }

  removeWhere(predicate: (waiter: WaitingRequest) => boolean): WaitingRequest[] {
    return this.#lines.removeWhere(predicate);
  }

  /** How many wait for a slot of the pool; those who wait for a limit to pass have no use for one. */
  wanting(pool: string, now: Millis): number {
    return this.isWaitedFor(pool, now) ? this.#lines.waitingIn(pool) : 0;
  }

  /** Tells the workers of a pool how many wait here: at once when a line begins or ends, and with each heartbeat. */
  want(pool: string, now: Millis): void {
    const { bus, id } = this.#deps;
    const message: SlotsWanted = { v: 1, router: id, pool, waiting: this.wanting(pool, now) };
    bus.post(wantSubject(pool), '', FrameType.want, 0, 0, JSON.stringify(message));
  }

  #wantSoon(pool: string, now: Millis): void {
    if (this.#wantedThisTurn.has(pool)) return;
    this.#wantedThisTurn.add(pool);
    setImmediate(() => {
      this.#wantedThisTurn.delete(pool);
      if (this.wanting(pool, now) === 0) return;
      this.want(pool, now);
      this.#deps.ahead.recall(pool);
    });
  }

  #isUsable(pool: string, now: Millis): (deployment: string) => boolean {
    const { health, slots } = this.#deps;
    return (deployment) => health.usableAt(deployment, slots.workersOf(pool), 0, now) <= now;
  }

  #rate(pool: string): ServiceRate {
    let rate = this.#rates.get(pool);
    if (rate === undefined) {
      rate = new ServiceRate();
      this.#rates.set(pool, rate);
    }
    return rate;
  }
}
