import type { Millis } from '../../../shared/clock.ts';

const BACKOFF_RATIO = 0.9;
/** A burst of refusals is one event: what they refuse was sent under the same limit. */
const COOLDOWN_MS = 1_000;

export interface AdaptiveLimitConfig {
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

/**
 * Adaptive concurrency: additive increase, multiplicative decrease, as AIMDLimit of Netflix' concurrency-limits, with the
 * pace of TCP Reno's congestion avoidance: one more for each limit's worth of successes, counted in whole successes (RFC 3465)
 * rather than by adding fractions.
 */
export class AdaptiveLimit {
  readonly #min: number;
  readonly #max: number;
  #limit: number;
  #successes = 0;
  #overloadedAt: Millis = -Infinity;

  constructor({ min, max, initial }: AdaptiveLimitConfig) {
    this.#min = min;
    this.#max = max;
    this.#limit = Math.min(max, Math.max(min, initial));
  }

  /** How many calls may be in flight: an integer within min..max. */
  get limit(): number {
    return this.#limit;
  }

  /** @param inFlight calls under way when this one ended, itself included */
  succeeded(inFlight: number): void {
    // A limit that was not nearly reached was not tested: growth would say nothing.
    if (inFlight * 2 < this.#limit || ++this.#successes < this.#limit) return;
    this.#successes = 0;
    this.#limit = Math.min(this.#max, this.#limit + 1);
  }

  /** A 429, a 503 or a timeout. */
  overloaded(now: Millis): void {
    if (now - this.#overloadedAt < COOLDOWN_MS) return;
    this.#overloadedAt = now;
    this.#successes = 0;
    this.#limit = Math.max(this.#min, Math.floor(this.#limit * BACKOFF_RATIO));
  }
}
