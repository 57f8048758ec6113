import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Millis } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import { backoffMs } from '../core/backoff.ts';
import { reasonOf } from './database.ts';

const BACKOFF = { firstMs: 100, longestMs: 2_000 };

export interface WaitUntilUp {
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
  readonly random: () => number;
  /** Named in the log. */
  readonly what: string;
  readonly withinMs: Millis;
  /** Whether a failure may pass by waiting. */
  readonly isAway: (failure: unknown) => boolean;
}

/**
 * Does `work`, again while what it needs is still starting: services of one host come up in any order.
 * @throws the last failure, at once when waiting cannot help, else after `withinMs`
 */
export async function waitUntilUp<T>(
  { clock, log, random, what, withinMs, isAway }: WaitUntilUp,
  work: () => Promise<T>,
): Promise<T> {
  const until = clock.now() + withinMs;
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (failure) {
      const waitMs = backoffMs(failures, random, BACKOFF);
      if (!isAway(failure) || clock.now() + waitMs > until) throw failure;
      if (failures === 1) log.warn({ what, reason: reasonOf(failure) }, 'waiting for it to come up');
      await sleep(waitMs);
    }
  }
}
