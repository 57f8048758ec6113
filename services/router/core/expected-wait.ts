import type { Millis } from '../../../shared/clock.ts';

/**
 * A wait that takes more of the time that remains than this ratio is refused. The estimate is a mean, and the answer takes
 * its time too: under a lasting overload all who are let in wait for just so long, and at 1 a quarter of the slots went to
 * answers that came too late for their clients (docs/routing-simulation.md, "Fairness between tenants").
 */
const REFUSED_ABOVE = 0.8;

/** What is known of one pool when a request comes. */
export interface Line {
  /** Requests that would be served before it, from 0. */
  readonly position: number;
  /** Slots of all workers of the pool, busy ones too. */
  readonly capacity: number;
  /** Mean time for which a request has a slot; undefined before the first has ended. */
  readonly meanServiceMs: number | undefined;
  /** Time until any deployment may be called, when all are throttled; 0 when one may be called now. */
  readonly earliestUsableInMs: Millis;
}

/**
 * How long a request waits for a slot, in milliseconds; undefined when nothing is known.
 *
 * Little's law (1961): a pool whose `capacity` slots are all busy frees capacity / meanServiceMs of them each millisecond,
 * and a request needs as many to be freed as there are before it, and its own. While every deployment is throttled slots
 * are freed but not given, so that at its end up to `capacity` requests leave the line at once.
 */
export function expectedWaitMs({ position, capacity, meanServiceMs, earliestUsableInMs }: Line): number | undefined {
  const throttledMs = Math.max(0, earliestUsableInMs);
  if (meanServiceMs === undefined || !(meanServiceMs >= 0) || capacity <= 0) {
    return throttledMs > 0 ? throttledMs : undefined;
  }
  if (meanServiceMs === 0 || throttledMs === Infinity) return throttledMs;
  const freedPerMs = capacity / meanServiceMs;
  const freedMeanwhile = Math.min(capacity, throttledMs * freedPerMs);
  return throttledMs + Math.max(0, position + 1 - freedMeanwhile) / freedPerMs;
}

/** The wait of a request that stands in several lines at once: the shortest; undefined as long as one is unknown. */
export function shortestWaitMs(waits: ReadonlyArray<number | undefined>): number | undefined {
  let shortest: number | undefined;
  for (const wait of waits) {
    if (wait === undefined) return undefined;
    if (shortest === undefined || wait < shortest) shortest = wait;
  }
  return shortest;
}

/** Whether to refuse a request at once because its wait is expected to outlast its deadline. Never for an unknown wait. */
export function refuses({ waitMs, remainingMs }: { waitMs: number | undefined; remainingMs: Millis }): boolean {
  return waitMs !== undefined && waitMs > REFUSED_ABOVE * remainingMs;
}
