import type { Millis } from '../../shared/clock.ts';
import type { LimitsConfig } from '../../shared/config.ts';
import type { Log } from '../../shared/log.ts';
import type { RedisConnection, RedisScript } from '../../shared/redis.ts';
import { redisScript } from '../../shared/redis.ts';
import { BLOCK, CORRECT, TAKE } from './core/shared-limit-scripts.ts';

/** A request waits for Redis this long at most, once; then its worker goes on alone. */
export const REDIS_DEADLINE_MS = 250;
const ASK_AGAIN_MS = 500;
const KEYS = 'sluice:limit:';
/** No deployment's name. A question that only reads would be answered by a Redis that is full, or a replica, too. */
const PROBE = '?';

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
  readonly #redis: RedisConnection;
  readonly #log: Log;
  #askAgain: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(redis: RedisConnection, log: Log) {
    this.#redis = redis;
    this.#log = log;
  }

  get isAway(): boolean {
    return this.#askAgain !== undefined;
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
    this.#isStopped = true;
    clearInterval(this.#askAgain);
    this.#redis.close();
  }

  async #run(script: RedisScript, deployment: string, args: readonly number[]): Promise<unknown> {
    if (this.isAway) return undefined;
    try {
      return await this.#redis.run(script, `${KEYS}${deployment}`, args);
    } catch (err) {
      this.#lost(err);
      return undefined;
    }
  }

  #lost(err: unknown): void {
    if (this.isAway || this.#isStopped) return;
    this.#log.warn({ err }, 'Redis is away: until it is back, limits hold for each worker alone');
    this.#askAgain = setInterval(() => {
      this.#redis.run(SCRIPTS.block, `${KEYS}${PROBE}`, [0]).then(
        () => this.#found(),
        () => {},
      );
    }, ASK_AGAIN_MS);
  }

  #found(): void {
    if (!this.isAway) return;
    clearInterval(this.#askAgain);
    this.#askAgain = undefined;
    this.#log.info('Redis is back: limits hold for all workers together');
  }
}

function perMinute({ requestsPerMinute, tokensPerMinute }: LimitsConfig): [number, number] {
  return [requestsPerMinute ?? 0, tokensPerMinute ?? 0];
}
