import type { Bus } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { SlotsIssued, SlotsRecalled } from '../../shared/messages/slots.ts';
import type { PoolConfig } from '../../shared/pools.ts';
import { routerSubject } from '../../shared/subjects.ts';
import type { Backend } from './attempt.ts';
import { AdaptiveLimit } from './core/adaptive-limit.ts';
import { SlotBook } from './core/slot-book.ts';
import type { Verdict } from './core/verdict.ts';

/** Where an adaptive limit begins, as AIMDLimit of Netflix' concurrency-limits does; it finds its own in minutes. */
const INITIAL_CONCURRENCY = 20;

/** Slots for a provider's attempts at this worker, or for one of its models: how to call it, and what routers are told. */
export class WorkerPool {
  readonly name: string;
  readonly backend: Backend;
  readonly #book: SlotBook;
  /** undefined: the concurrency is fixed. */
  readonly #adaptive: AdaptiveLimit | undefined;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #workerId: string;
  /** False while this worker takes nothing new: draining, or its usage journal is full. */
  readonly #mayIssue: () => boolean;
  readonly #heardOf = new Map<string, Millis>();
  #isIssueScheduled = false;

  constructor(
    { name, concurrency, minConcurrency }: PoolConfig,
    backend: Backend,
    deps: { bus: Bus; clock: Clock; workerId: string; mayIssue: () => boolean },
  ) {
    this.name = name;
    this.backend = backend;
    this.#adaptive =
      minConcurrency === undefined
        ? undefined
        : new AdaptiveLimit({ min: minConcurrency, max: concurrency, initial: INITIAL_CONCURRENCY });
    this.#book = new SlotBook(this.#adaptive?.limit ?? concurrency);
    this.#bus = deps.bus;
    this.#clock = deps.clock;
    this.#workerId = deps.workerId;
    this.#mayIssue = deps.mayIssue;
  }

  get capacity(): number {
    return this.#book.capacity;
  }

  get inFlight(): number {
    return this.#book.busy;
  }

  /** Routers that live. */
  get routers(): IterableIterator<string> {
    return this.#heardOf.keys();
  }

  /** A task came for a slot; false when it must go elsewhere. */
  take(router: string, slot: number): boolean {
    return this.#book.take(router, slot);
  }

  release(): void {
    this.#book.release();
    this.#scheduleIssue();
  }

  /** An attempt is about to give its slot back: how it went says how many there may be at once. */
  adapt({ health, isOverload }: Verdict): void {
    if (this.#adaptive === undefined) return;
    if (isOverload) this.#adaptive.overloaded(this.#clock.now());
    else if (health === 'success') this.#adaptive.succeeded(this.inFlight);
    this.#book.capacity = this.#adaptive.limit;
  }

  giveBack(router: string, from: number, to: number): void {
    this.#book.giveBack(router, from, to);
    this.#scheduleIssue();
  }

  /** A router says how many requests wait there for this pool. */
  wanted(router: string, waiting: number): void {
    this.#hear(router);
    this.#book.setWaiting(router, waiting);
    this.#scheduleIssue();
  }

  onRouterBeat(beat: RouterBeat): void {
    if (beat.isDraining) return this.forgetRouter(beat.router);
    this.#hear(beat.router);
    this.#book.setWaiting(beat.router, beat.waiting[this.name] ?? 0);
    const mine = beat.spent.find(({ worker, pool }) => worker === this.#workerId && pool === this.name);
    if (mine !== undefined) this.#book.reconcile(beat.router, mine.spent, this.#clock.now());
    this.#scheduleIssue();
  }

  forgetRouter(router: string): void {
    this.#heardOf.delete(router);
    this.#book.removeRouter(router);
    this.#scheduleIssue();
  }

  /** This worker itself was deaf for so long: nobody was silent in that time. */
  forgive(stalledMs: Millis): void {
    for (const [router, at] of this.#heardOf) this.#heardOf.set(router, at + stalledMs);
  }

  /** Forgets silent routers, and tells the others their account: a lost message is mended here. */
  refresh(now: Millis): void {
    for (const [router, at] of this.#heardOf) if (now - at > SILENT_AFTER_MS) this.forgetRouter(router);
    if (!this.#mayIssue()) return;
    this.#book.issue({ isDue: true });
    for (const router of this.#book.routers) this.#tell(router);
  }

  #hear(router: string): void {
    const now = this.#clock.now();
    this.#heardOf.set(router, now);
    this.#book.addRouter(router, now);
  }

  /** Once a turn: the slots of all attempts that ended in it go out in one message to each router. */
  #scheduleIssue(): void {
    if (this.#isIssueScheduled) return;
    this.#isIssueScheduled = true;
    setImmediate(() => {
      this.#isIssueScheduled = false;
      if (!this.#mayIssue()) return;
      for (const router of this.#book.issue()) this.#tell(router);
      for (const { router, count } of this.#book.recall(this.#clock.now())) {
        const message: SlotsRecalled = { v: 1, worker: this.#workerId, pool: this.name, count };
        this.#bus.post(routerSubject(router), '', FrameType.recall, 0, 0, JSON.stringify(message));
      }
    });
  }

  #tell(router: string): void {
    const message: SlotsIssued = {
      v: 1,
      worker: this.#workerId,
      pool: this.name,
      ...this.#book.account(router),
      capacity: this.capacity,
    };
    this.#bus.post(routerSubject(router), '', FrameType.slots, 0, 0, JSON.stringify(message));
  }
}
