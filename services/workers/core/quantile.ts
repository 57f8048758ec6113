import type { Millis } from '../../../shared/clock.ts';

const WINDOW_MS = 30_000;
/** The one that fills and two full ones: the last 60 to 90 s. */
const WINDOWS = 3;
const MIN_SAMPLES = 20;
/** Shorter durations count as 1 ms, longer ones as 10 min. */
const MAX_MS = 600_000;
const RELATIVE_ERROR = 0.05;
const GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
const LOG_GAMMA = Math.log(GAMMA);
const BUCKETS = bucketOf(MAX_MS) + 1;

/**
 * A quantile of durations over about the last minute, off by at most 5 %: counts in buckets whose bounds are powers of γ
 * (DDSketch: Masson, Rim and Lee, "A fast and fully-mergeable quantile sketch with relative-error guarantees", 2019), in
 * windows that are used in turn. 1.6 KB, whatever the traffic.
 */
export class SlidingQuantile {
  readonly #windows = Array.from({ length: WINDOWS }, () => ({
    /** The time that it holds, in windows since 0. */
    tick: -Infinity,
    counts: new Uint32Array(BUCKETS),
    total: 0,
  }));

  observe(ms: number, now: Millis): void {
    const tick = Math.floor(now / WINDOW_MS);
    const window = this.#windows[tick % WINDOWS]!;
    if (window.tick !== tick) {
      window.tick = tick;
      window.counts.fill(0);
      window.total = 0;
    }
    window.counts[bucketOf(ms)]!++;
    window.total++;
  }

  /**
   * The value that a share `q` of the durations does not exceed (nearest rank). undefined: fewer than 20 samples.
   * @param q in (0, 1]: 0.95 for p95
   */
  quantile(q: number, now: Millis): number | undefined {
    const oldest = Math.floor(now / WINDOW_MS) - WINDOWS + 1;
    const counts = new Uint32Array(BUCKETS);
    let total = 0;
    for (const window of this.#windows) {
      if (window.tick < oldest) continue;
      for (let bucket = 0; bucket < BUCKETS; bucket++) counts[bucket]! += window.counts[bucket]!;
      total += window.total;
    }
    if (total < MIN_SAMPLES) return undefined;
    let left = Math.max(1, Math.ceil(q * total));
    const bucket = counts.findIndex((count) => (left -= count) <= 0);
    return middleOf(bucket);
  }
}

/** Bucket i holds (γ^(i−1), γ^i]. */
function bucketOf(ms: number): number {
  return Math.ceil(Math.log(Math.min(MAX_MS, Math.max(1, ms))) / LOG_GAMMA);
}

/** As far from the one bound of its bucket as from the other, in proportion. */
function middleOf(bucket: number): number {
  return (2 * GAMMA ** bucket) / (GAMMA + 1);
}
