import type { Millis } from './clock.ts';

/** τ: after so long, an average counts 1/e. As Finagle's default. */
const DECAY_MS = 10_000;
/** Above any measured load: a call of ten minutes with a million in flight is 6e11. */
const UNMEASURED_PENALTY = 1e12;

/**
 * Latency as Finagle's PeakEwma balancer keeps it: an exponentially weighted moving average over unevenly spaced samples
 * (Eckner, "Algorithms for Unevenly Spaced Time Series") that jumps to a peak at once and forgets it slowly. While nothing
 * is observed it decays toward zero, so that what was slow is tried again.
 *
 * A sample is compared and weighed with the average as of the last sample, not as decayed by reading: reads change nothing.
 */
export class PeakEwma {
  #averageMs: number | undefined;
  #observedAt: Millis = 0;

  observe(ms: number, now: Millis): void {
    const average = this.#averageMs;
    if (average === undefined || ms >= average) {
      this.#averageMs = ms;
    } else {
      const weight = this.#weight(now);
      this.#averageMs = average * weight + ms * (1 - weight);
    }
    this.#observedAt = now;
  }

  /** Milliseconds; undefined before the first sample. */
  value(now: Millis): number | undefined {
    return this.#averageMs === undefined ? undefined : this.#averageMs * this.#weight(now);
  }

  /** What is left after the time since the last sample; samples that come out of order have no time between them. */
  #weight(now: Millis): number {
    return Math.exp(-Math.max(0, now - this.#observedAt) / DECAY_MS);
  }
}

/**
 * What one more call would cost here: the lesser is the better. Without a measurement (or with one that has decayed to
 * nothing) an idle node costs nothing, so that it is tried at once, and one with a call in flight more than any measured
 * one, so that a single call is risked until it answers; Finagle's rule.
 */
export function loadOf(ewmaMs: number | undefined, inFlight: number): number {
  if (ewmaMs === undefined || ewmaMs === 0) return inFlight === 0 ? 0 : UNMEASURED_PENALTY + inFlight;
  return ewmaMs * (inFlight + 1);
}
