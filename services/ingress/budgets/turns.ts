import type { Clock, Millis } from '../../../shared/clock.ts';

/** Requests that wait for budgets, each with its body; the next is told that the budget is used up. */
const MAX_WAITING = 1_000;
/** Money may come back before the window turns: attempts cost less than was reserved, or somebody raises the budget. */
const LOOK_AGAIN_MS: Millis = 1_000;

/** Where requests wait for a budget that says `queue`. */
export class Turns {
  readonly #clock: Pick<Clock, 'epochMs'>;
  #waiting = 0;

  constructor(clock: Pick<Clock, 'epochMs'>) {
    this.#clock = clock;
  }

  /**
   * Resolves when it is worth asking again: the budget's window has turned, or a while is over.
   * @returns false: there is no time left to wait, or no room
   */
  async wait(renewsEpochMs: number | undefined, untilEpochMs: number): Promise<boolean> {
    const now = this.#clock.epochMs();
    if (now >= untilEpochMs || this.#waiting >= MAX_WAITING) return false;
    // A window that has turned by this clock may not have by the ledger's.
    const turnMs = renewsEpochMs === undefined ? Infinity : Math.max(1, renewsEpochMs - now);
    this.#waiting++;
    await new Promise((resolve) => setTimeout(resolve, Math.min(LOOK_AGAIN_MS, turnMs, untilEpochMs - now)));
    this.#waiting--;
    return true;
  }
}
