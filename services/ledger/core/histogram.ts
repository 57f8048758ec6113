/** Upper ends of the buckets in milliseconds, exclusive; what is longer has a bucket of its own. */
export const BOUNDS_MS = Array.from({ length: 18 }, (_, i) => 2 ** (i + 3));

export type Measure = 'ttft' | 'duration';

/** The columns of a measure's histogram, shortest first: `ttft_below_8`, …, `ttft_below_1048576`, `ttft_longer`. */
export function bucketColumns(measure: Measure): string[] {
  return [...BOUNDS_MS.map((bound) => `${measure}_below_${bound}`), `${measure}_longer`];
}

/** Of `bucketColumns`. */
export function bucketOf(ms: number): number {
  const index = BOUNDS_MS.findIndex((bound) => ms < bound);
  return index < 0 ? BOUNDS_MS.length : index;
}

/**
 * A quantile, interpolated within its bucket; the true one lies in the same power of two. null: nothing was measured.
 * @param counts in the order of `bucketColumns`
 * @param quantile 0..1
 */
export function quantileOf(counts: readonly number[], quantile: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let before = 0;
  const rank = quantile * total;
  for (const [index, count] of counts.entries()) {
    if (count > 0 && before + count >= rank) {
      const from = index === 0 ? 0 : (BOUNDS_MS[index - 1] ?? 0);
      const to = BOUNDS_MS[index] ?? from * 2;
      return from + ((to - from) * (rank - before)) / count;
    }
    before += count;
  }
  return null;
}
