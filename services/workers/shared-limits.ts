import type { Millis } from '../../shared/clock.ts';
import type { LimitsConfig } from '../../shared/config.ts';
import type { Log } from '../../shared/log.ts';
import { RedisPresence } from '../../shared/redis-presence.ts';
import type { RedisConnection, RedisScript } from '../../shared/redis.ts';
import { redisScript } from '../../shared/redis.ts';
import { BLOCK, CORRECT, TAKE } from './core/shared-limit-scripts.ts';

const KEYS = 'sluice:limit:';
/** No deployment's name. */
const PROBE = '?';
const WORDS = {
  away: 'Redis is away: until it is back, limits hold for each worker alone',
  back: 'Redis is back: limits hold for all workers together',
};

const SCRIPTS = { take: redisScript(TAKE), correct: redisScript(CORRECT), block: redisScript(BLOCK) };

/** A deployment with its configured limits. */
export interface Limited {
  readonly deployment: string;
  readonly limits: LimitsConfig;
}

/**
 * Limits that hold for all workers together, kept in Redis. While Redis is away each worker goes on with its own account
 * at the whole limit: no request waits for Redis then, and in the background it is asked whether it is back.
 */
export class SharedLimits {
  readonly #redis: RedisPresence;

  constructor(redis: RedisConnection, log: Log) {
    this.#redis = new RedisPresence(redis, log, WORDS, `${KEYS}${PROBE}`);
  }

  get isAway(): boolean {
    return this.#redis.isAway;
  }

  /** Takes one request and its tokens: 0, or how long until they fit. undefined: Redis is away. */
  async take({ deployment, limits }: Limited, tokens: number): Promise<Millis | undefined> {
    const waitMs = await this.#run(SCRIPTS.take, deployment, [...perMinute(limits), tokens]);
    return typeof waitMs === 'number' ? waitMs : undefined;
  }

  /** What was used beyond what was taken; negative gives back. */
  correct({ deployment, limits }: Limited, more: { readonly requests: number; readonly tokens: number }): void {
    if (more.requests === 0 && (more.tokens === 0 || limits.tokensPerMinute === undefined)) return;
    void this.#run(SCRIPTS.correct, deployment, [...perMinute(limits), more.requests, more.tokens]);
  }

  /** The provider said to come back later: that is for all workers. */
  block({ deployment }: Limited, forMs: Millis): void {
    void this.#run(SCRIPTS.block, deployment, [forMs]);
  }

  stop(): void {
    this.#redis.stop();
  }

  #run(script: RedisScript, deployment: string, args: readonly number[]): Promise<unknown> {
    return this.#redis.run(script, `${KEYS}${deployment}`, args);
  }
}

function perMinute({ requestsPerMinute, tokensPerMinute }: LimitsConfig): [number, number] {
  return [requestsPerMinute ?? 0, tokensPerMinute ?? 0];
}
