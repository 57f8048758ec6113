import type { Millis } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import { RedisPresence } from '../../../shared/redis-presence.ts';
import type { RedisConnection } from '../../../shared/redis.ts';
import type { ActualUse, LimitAsk, Refused, Taken } from '../core/limit-terms.ts';
import { ScopeLimits } from '../core/scope-limits.ts';
import { SharedScopeLimits } from './shared-scope-limits.ts';

/** The limits of all scopes. A request takes of all that hold for it, or of none, and ends once: with what it used, or given back. */
export interface Limits {
  /** A promise only where Redis must be asked. It does not reject. */
  take(ask: LimitAsk, now: Millis): Taken | Refused | Promise<Taken | Refused>;
  /** The request is over, and used so much. */
  end(taken: Taken, actual: ActualUse, now: Millis): void;
  /** The request is not served after all: nothing of it counts. */
  giveBack(taken: Taken, now: Millis): void;
}

export interface LimitsDeps {
  /** undefined: this ingress counts alone. */
  readonly redis: RedisConnection | undefined;
  readonly log: Log;
  /** A limit was decided by this ingress alone, since Redis is away. */
  readonly onDegraded: () => void;
}

const WORDS = {
  away: 'Redis is away: until it is back, limits of scopes hold for each ingress alone',
  back: 'Redis is back: limits of scopes hold for all ingresses together',
};
/** No scope's name. */
const PROBE_KEY = 'sluice:scope:?';

/** `stop` closes the connection to Redis. */
export function openLimits({ redis, log, onDegraded }: LimitsDeps): {
  readonly limits: Limits;
  readonly stop: () => void;
} {
  const here = new ScopeLimits();
  if (redis === undefined) return { limits: here, stop: () => undefined };
  const presence = new RedisPresence(redis, log, WORDS, PROBE_KEY);
  const shared = new SharedScopeLimits({ redis: presence, here, onDegraded });
  return {
    limits: shared,
    stop: () => {
      shared.stop();
      presence.stop();
    },
  };
}
