import type { Millis } from '../../../shared/clock.ts';

export interface BackoffPolicy {
  readonly firstMs: Millis;
  readonly longestMs: Millis;
}

/**
 * How long to wait after the `failures`-th failure in a row (from 1): doubling, with "equal jitter" (half of it fixed, half
 * random), so that many who failed together do not come back together and none comes back at once.
 */
export function backoffMs(failures: number, random: () => number, { firstMs, longestMs }: BackoffPolicy): Millis {
  // 2^31 first delays are beyond any longest one; a bound keeps the power finite.
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 31));
  return whole / 2 + (random() * whole) / 2;
}
