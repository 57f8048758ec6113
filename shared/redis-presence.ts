import type { Log } from './log.ts';
import type { RedisConnection, RedisScript } from './redis.ts';
import { redisScript } from './redis.ts';

/** A request waits for Redis this long at most, once; then its process goes on alone. */
export const REDIS_DEADLINE_MS = 250;
const ASK_AGAIN_MS = 500;
/** A question that only reads would be answered by a Redis that is full, or a replica, too. */
const PROBE = redisScript(`return redis.call('SET', KEYS[1], '', 'PX', 1000)`);

/** What the log says. */
export interface PresenceWords {
  readonly away: string;
  readonly back: string;
}

/**
 * Redis as something that may be away: nobody waits for it then, and in the background it is asked whether it is back. One
 * failure is enough, since what it was asked is done without it.
 */
export class RedisPresence {
  readonly #redis: RedisConnection;
  readonly #log: Log;
  readonly #words: PresenceWords;
  readonly #probeKey: string;
  #askAgain: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param probeKey written to, to find out whether it is back */
  constructor(redis: RedisConnection, log: Log, words: PresenceWords, probeKey: string) {
    this.#redis = redis;
    this.#log = log;
    this.#words = words;
    this.#probeKey = probeKey;
  }

  get isAway(): boolean {
    return this.#askAgain !== undefined;
  }

  /** The script's answer; undefined: Redis is away. It does not reject. */
  async run(
    script: RedisScript,
    keys: string | readonly string[],
    args: ReadonlyArray<string | number>,
  ): Promise<unknown> {
    if (this.isAway) return undefined;
    try {
      return await this.#redis.run(script, keys, args);
    } catch (err) {
      this.#lost(err);
      return undefined;
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#askAgain);
    this.#redis.close();
  }

  #lost(err: unknown): void {
    if (this.isAway || this.#isStopped) return;
    this.#log.warn({ err }, this.#words.away);
    this.#askAgain = setInterval(() => {
      this.#redis.run(PROBE, this.#probeKey, []).then(
        () => this.#found(),
        () => {},
      );
    }, ASK_AGAIN_MS);
  }

  #found(): void {
    if (!this.isAway) return;
    clearInterval(this.#askAgain);
    this.#askAgain = undefined;
    this.#log.info(this.#words.back);
  }
}
