import type { Millis } from './clock.ts';

/** A look this late means that this process was busy, or the machine was, and heard nobody, dead or alive. */
const STALL_MS = 100;

/** Tells how long this process itself was deaf: nobody may be called silent for that time. */
export class StallWatch {
  readonly #everyMs: Millis;
  #lookedAt: Millis;

  /** @param everyMs how often `stalledMs` is called while nothing is wrong */
  constructor(everyMs: Millis, now: Millis) {
    this.#everyMs = everyMs;
    this.#lookedAt = now;
  }

  /** Milliseconds that this call comes late; 0 when it is in time, or nearly. */
  stalledMs(now: Millis): Millis {
    const lateMs = now - this.#lookedAt - this.#everyMs;
    this.#lookedAt = now;
    return lateMs > STALL_MS ? lateMs : 0;
  }
}
