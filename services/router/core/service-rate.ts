import type { Millis } from '../../../shared/clock.ts';

/** Fewer say nothing of a rate. */
const MIN_SERVED = 3;
/** What is older counts half. */
const HALF_LIFE_MS = 10_000;

/**
 * How fast a pool's line moves at this router: those served from it, over the time in which there was one. (The rate of a
 * queue that is never empty is the rate at which slots come free: Little's law needs no other measure.)
 */
export class ServiceRate {
  #served = 0;
  #busyMs: Millis = 0;
  #since: Millis | undefined;

  /** The line began, or goes on. */
  lineIsThere(now: Millis): void {
    this.#since ??= now;
  }

  lineEnded(now: Millis): void {
    this.#busyMs = this.#busyFor(now);
    this.#since = undefined;
  }

  served(now: Millis): void {
    this.#served++;
    const busyMs = this.#busyFor(now);
    if (busyMs < 2 * HALF_LIFE_MS) return;
    this.#served /= 2;
    this.#busyMs = busyMs / 2;
    if (this.#since !== undefined) this.#since = now;
  }

  /** Mean time between two that are served; undefined when too few were. */
  intervalMs(now: Millis): Millis | undefined {
    return this.#served < MIN_SERVED ? undefined : this.#busyFor(now) / this.#served;
  }

  #busyFor(now: Millis): Millis {
    return this.#busyMs + (this.#since === undefined ? 0 : now - this.#since);
  }
}
