import type { Millis } from '../../../shared/clock.ts';

/** As many at once are no start any more. */
const GROWN = 64;
/** Congestion avoidance: more each round trip. RFC 5681 allows 1; a limit stays what it is for longer than a network's load. */
const STEP = 0.5;
/** Without another 429. Answers that take long would let it grow for an hour. */
const LASTS_MS = 30_000;

/**
 * How many calls may be unanswered at once after a 429, when those who waited would all be let go together: TCP's slow start
 * and congestion avoidance (Jacobson, "Congestion avoidance and control", 1988; RFC 5681, 3.1). The window is 1 at first and
 * one more with each good answer, so it doubles each round trip; from half of what was unanswered at the last 429 on, it is half
 * of one more each round trip.
 */
export class SlowStart {
  /** undefined: as many as come. */
  #window: number | undefined;
  #threshold = Infinity;
  /** Calls that began since the last 429, which alone say anything of the time after it. */
  #unanswered = 0;
  #refusedAt: Millis = -Infinity;
  #endsAt: Millis = -Infinity;

  /** How many more may begin now; Infinity when it is over. Calls of before the last 429 do not count. */
  room(now: Millis): number {
    if (this.#window === undefined || now >= this.#endsAt) return Infinity;
    return Math.max(0, Math.floor(this.#window) - this.#unanswered);
  }

  began(): void {
    this.#unanswered++;
  }

  /**
   * The first of an answer came, or the call is over without one.
   * @param isGood it was no failure
   */
  answered(startedAt: Millis, isGood: boolean): void {
    if (startedAt < this.#refusedAt) return;
    this.#unanswered = Math.max(0, this.#unanswered - 1);
    if (!isGood || this.#window === undefined) return;
    this.#window += this.#window < this.#threshold ? 1 : STEP / this.#window;
    if (this.#window > GROWN) this.#window = undefined;
  }

  /**
   * A 429 came, to a call that has been `answered`. Of those to calls of before the last one, only the time counts.
   * @param until nothing may be sent before that
   */
  refused(startedAt: Millis, until: Millis, now: Millis): void {
    this.#endsAt = Math.max(this.#endsAt, until + LASTS_MS);
    if (startedAt < this.#refusedAt) return;
    this.#threshold = Math.max(2, (this.#unanswered + 1) / 2);
    this.#window = 1;
    this.#unanswered = 0;
    this.#refusedAt = now;
  }
}
