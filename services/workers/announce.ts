import type { Clock, Millis } from '../../shared/clock.ts';

/** Changes of one moment are one message; what comes after it waits for so long. */
const APART_MS = 10;

/**
 * Says at once what has changed: once a turn of the event loop, and never twice within 10 ms. The last change is never left
 * unsaid.
 */
export class Announcer {
  readonly #clock: Clock;
  readonly #say: () => void;
  #saidAt: Millis = -Infinity;
  #isDue = false;
  #isStopped = false;

  constructor(clock: Clock, say: () => void) {
    this.#clock = clock;
    this.#say = say;
  }

  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    const waitMs = this.#saidAt + APART_MS - this.#clock.now();
    if (waitMs <= 0) setImmediate(() => this.#speak());
    else setTimeout(() => this.#speak(), Math.ceil(waitMs));
  }

  stop(): void {
    this.#isStopped = true;
  }

  #speak(): void {
    if (this.#isStopped) return;
    this.#isDue = false;
    this.#saidAt = this.#clock.now();
    this.#say();
  }
}
