import type { Clock, Millis } from '../../shared/clock.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';

/** The routers that live, by their heartbeats. Questions go to them in turn. */
export class Routers {
  readonly #clock: Clock;
  readonly #heardOf = new Map<string, Millis>();
  /** The same ids in an array, for taking turns. */
  #live: readonly string[] = [];
  #turn = 0;
  readonly #onGone: (router: string) => void;

  /** @param onGone whoever waits at this router must ask elsewhere */
  constructor(clock: Clock, onGone: (router: string) => void) {
    this.#clock = clock;
    this.#onGone = onGone;
  }

  get count(): number {
    return this.#live.length;
  }

  onBeat({ router, isDraining }: RouterBeat): void {
    if (isDraining) return this.remove(router);
    if (!this.#heardOf.has(router)) this.#live = [...this.#live, router];
    this.#heardOf.set(router, this.#clock.now());
  }

  /** undefined: no router lives. */
  next(): string | undefined {
    this.#turn = (this.#turn + 1) % Math.max(1, this.#live.length);
    return this.#live[this.#turn];
  }

  remove(router: string): void {
    if (!this.#heardOf.delete(router)) return;
    this.#live = this.#live.filter((id) => id !== router);
    this.#onGone(router);
  }

  clear(): void {
    for (const router of [...this.#heardOf.keys()]) this.remove(router);
  }

  /** @param stalledMs how long this process itself heard nothing because it was busy: nobody is blamed for that */
  sweep(now: Millis, stalledMs: Millis): void {
    for (const [router, at] of this.#heardOf) {
      if (stalledMs > 0) this.#heardOf.set(router, at + stalledMs);
      else if (now - at > SILENT_AFTER_MS) this.remove(router);
    }
  }
}
