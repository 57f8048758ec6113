import type { Millis } from './clock.ts';

/**
 * A sum over a sliding window, in a ring of buckets: the bucket of `now` and the ones before it, so between
 * `windowMs × (1 − 1/buckets)` and `windowMs` (the rolling window of Hystrix and of Finagle's WindowedAdder).
 * Silence empties it without a timer: a bucket that is too old does not count, and its place is used again.
 */
export class SlidingSum {
  readonly #bucketMs: number;
  readonly #sums: Float64Array;
  /** The time, in buckets since 0, that each sum belongs to. */
  readonly #ticks: Float64Array;

  constructor(windowMs: number, buckets: number) {
    this.#bucketMs = windowMs / buckets;
    this.#sums = new Float64Array(buckets);
    this.#ticks = new Float64Array(buckets).fill(-Infinity);
  }

  add(amount: number, now: Millis): void {
    const tick = Math.floor(now / this.#bucketMs);
    const place = tick % this.#sums.length;
    if (this.#ticks[place] !== tick) {
      this.#ticks[place] = tick;
      this.#sums[place] = 0;
    }
    this.#sums[place]! += amount;
  }

  sum(now: Millis): number {
    const oldest = Math.floor(now / this.#bucketMs) - this.#sums.length + 1;
    let sum = 0;
    for (let place = 0; place < this.#sums.length; place++) {
      if (this.#ticks[place]! >= oldest) sum += this.#sums[place]!;
    }
    return sum;
  }

  clear(): void {
    this.#ticks.fill(-Infinity);
  }
}
