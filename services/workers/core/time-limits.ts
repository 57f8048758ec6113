import type { Millis } from '../../../shared/clock.ts';
import type { TimeoutsConfig } from '../../../shared/config.ts';
import { GatewayError } from '../../../shared/errors.ts';

/**
 * The clocks of one attempt: until its first token, between tokens, in all, and the request's own deadline. (The clock
 * for connecting is the connection pool's.) A stream that is paused for want of credit waits for its client, not for
 * the provider: its between-tokens clock stands still.
 */
export class TimeLimits {
  readonly #limits: TimeoutsConfig;
  readonly #totalAt: Millis;
  readonly #deadline: Millis;
  #nextTokenBy: Millis;
  #hasBegun = false;

  /**
   * @param deadline the request's, on the same clock as `now`
   * @param isStream a plain answer sends nothing before it is finished, so only its total can be limited
   */
  constructor(limits: TimeoutsConfig, isStream: boolean, deadline: Millis, now: Millis) {
    this.#limits = limits;
    this.#totalAt = now + limits.totalMs;
    this.#deadline = deadline;
    this.#nextTokenBy = isStream ? now + limits.firstTokenMs : Infinity;
  }

  /** The answer has begun, or goes on. */
  progress(now: Millis): void {
    this.#hasBegun = true;
    this.#nextTokenBy = now + this.#limits.betweenTokensMs;
  }

  /** The limit that has passed, as the failure it is. */
  exceeded(now: Millis, isPaused: boolean): GatewayError | undefined {
    if (now >= this.#deadline)
      return new GatewayError('deadline_exceeded', 'The deadline of the request came before its answer was complete.');
    if (now >= this.#totalAt)
      return new GatewayError('upstream_timeout', 'The provider took longer than its total time limit.');
    if (now < this.#nextTokenBy || isPaused) return undefined;
    return new GatewayError(
      'upstream_timeout',
      this.#hasBegun
        ? 'The provider fell silent in the middle of its answer.'
        : 'The provider did not begin its answer in time.',
    );
  }
}
