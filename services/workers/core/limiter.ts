import type { Millis } from '../../../shared/clock.ts';
import type { LimitsConfig } from '../../../shared/config.ts';
import type { ToldLimit } from '../../../shared/gcra.ts';
import { Gcra } from '../../../shared/gcra.ts';
import type { ReadLimit, ReadRateLimits } from './read-rate-limits.ts';
import { SlowStart } from './slow-start.ts';

/** Of a 429 that names no time: the first one, doubled with each that follows. */
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/** What a limit has left: the units that fit now. (A type, not an interface: messages let unknown fields pass.) */
export type Room = { readonly room: number; readonly perMinute: number };

/**
 * The rate of one deployment, in requests and in tokens: what is configured, what the provider's headers tell, and the
 * pauses that its 429s ask for, with the slow start after them. A call is admitted by all of them or charged to none.
 */
export class Limiter {
  readonly #requests: Gcra;
  readonly #tokens: Gcra;
  readonly #slowStart = new SlowStart();
  /** 429s in a row, those counted as one that answer calls of before the last one. */
  #refusals = 0;
  #refusedAt: Millis = -Infinity;

  constructor({ requestsPerMinute, tokensPerMinute }: LimitsConfig) {
    this.#requests = new Gcra({ perMinute: requestsPerMinute, burst: undefined });
    this.#tokens = new Gcra({ perMinute: tokensPerMinute, burst: undefined });
  }

  /**
   * Takes one request and its tokens: 0, or nothing is taken: how long until both fit, or `starting`, that an answer must
   * come first.
   */
  take(tokens: number, now: Millis): Millis | 'starting' {
    const waitMs = Math.max(this.#requests.availableAt(1, now), this.#tokens.availableAt(tokens, now)) - now;
    if (waitMs > 0) return waitMs;
    if (this.#slowStart.room(now) < 1) return 'starting';
    this.#slowStart.began();
    this.#requests.charge(1, now);
    this.#tokens.charge(tokens, now);
    return 0;
  }

  /**
   * The first of an answer came, or the call is over without one. True: another one may begin that could not before.
   * @param isGood it was no failure
   */
  answered(startedAt: Millis, isGood: boolean, now: Millis): boolean {
    const before = this.#slowStart.room(now);
    this.#slowStart.answered(startedAt, isGood);
    return before < 1 && this.#slowStart.room(now) >= 1;
  }

  /** What was taken is not used after all; besides, it must be `answered`. */
  giveBack(tokens: number, now: Millis): void {
    this.#requests.give(1, now);
    this.#tokens.give(tokens, now);
  }

  /** @param more tokens used beyond the estimate that was taken; negative when it was too high */
  correct(more: number, now: Millis): void {
    if (more !== 0) this.#tokens.charge(more, now);
  }

  /** A provider's answer told its limits. */
  learn({ requests, tokens }: ReadRateLimits, now: Millis): void {
    if (requests !== undefined) this.#requests.learn(toldOf(requests), now);
    if (tokens !== undefined) this.#tokens.learn(toldOf(tokens), now);
  }

  /**
   * Nothing may be sent for a while. A 429 that names no time makes it longer with each one in a row; a hundred calls
   * refused at once are one.
   * @param startedAt when the call began that was refused
   * @returns for how long
   */
  block(forMs: number | 'unsaid', startedAt: Millis, now: Millis): Millis {
    if (startedAt >= this.#refusedAt) {
      this.#refusals++;
      this.#refusedAt = now;
    }
    const pauseMs =
      forMs === 'unsaid' ? Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, this.#refusals - 1)) : forMs;
    this.#requests.blockUntil(now + pauseMs);
    this.#slowStart.refused(startedAt, now + pauseMs, now);
    return pauseMs;
  }

  /** An answer came: the next refusal is the first again. What began before the last one says nothing of it. */
  succeeded(startedAt: Millis): void {
    if (startedAt >= this.#refusedAt) this.#refusals = 0;
  }

  hasLimit(now: Millis): boolean {
    if (this.#slowStart.room(now) !== Infinity) return true;
    return this.#requests.perMinute !== undefined || this.#tokens.perMinute !== undefined;
  }

  /** How long the provider wants to hear nothing, whoever calls; 0 when it has not said so. */
  blockedMs(now: Millis): Millis {
    return Math.max(0, (this.#requests.blockedUntil ?? now) - now, (this.#tokens.blockedUntil ?? now) - now);
  }

  /** How long until the smallest call fits; 0 when it fits now. */
  throttledMs(now: Millis): Millis {
    return Math.max(this.#requests.availableAt(1, now), this.#tokens.availableAt(1, now)) - now;
  }

  /** Calls that may begin at once after a 429, once its pause is over; undefined when that is long ago. */
  starts(now: Millis): number | undefined {
    const room = this.#slowStart.room(now);
    return room === Infinity ? undefined : room;
  }

  /** undefined without a limit. */
  requests(now: Millis): Room | undefined {
    return roomOf(this.#requests, now);
  }

  tokens(now: Millis): Room | undefined {
    return roomOf(this.#tokens, now);
  }
}

function toldOf({ limit, remaining, resetMs }: ReadLimit): ToldLimit {
  return { perMinute: limit, remaining, resetMs };
}

function roomOf(gcra: Gcra, now: Millis): Room | undefined {
  const { perMinute } = gcra;
  return perMinute === undefined ? undefined : { room: gcra.room(now), perMinute };
}
