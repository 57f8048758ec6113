import type { Millis } from './clock.ts';

export interface FullJitterPolicy {
  readonly baseMs: Millis;
  readonly capMs: Millis;
}

/**
 * How long to wait before a retry: uniform in [0, min(cap, base × 2^attempt)), the "full jitter" of Marc Brooker's
 * "Exponential Backoff And Jitter" (AWS architecture blog, 2015), which spreads callers best and makes the fewest calls.
 * @param attempt retries made before this one: 0 for the first
 * @param random uniform in [0, 1)
 */
export function fullJitter(attempt: number, { baseMs, capMs }: FullJitterPolicy, random: () => number): Millis {
  // Above 2^1023 it is Infinity, of which the least is the cap.
  return random() * Math.min(capMs, baseMs * 2 ** attempt);
}
