import type { Clock, Millis } from '../../../shared/clock.ts';

/** Tokens are 11 to 17 ms apart; finer would cost wake-ups, coarser would show. */
const TICK_MS = 5;

/** Something that goes on at a time. */
export interface Job {
  readonly dueAt: Millis;
  /** Does what is due, and moves `dueAt` on or leaves the ticker. */
  run(now: Millis): void;
}

/** One timer for all answers under way, and none when there are none. */
export class Ticker {
  readonly #clock: Clock;
  readonly #jobs = new Set<Job>();
  #timer: NodeJS.Timeout | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** What is due already is done at once. */
  add(job: Job): void {
    this.#jobs.add(job);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    const now = this.#clock.now();
    if (job.dueAt <= now) job.run(now);
  }

  delete(job: Job): void {
    this.#jobs.delete(job);
    if (this.#jobs.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const job of this.#jobs) if (job.dueAt <= now) job.run(now);
  }
}
