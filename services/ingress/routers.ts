import type { Clock, Millis } from '../../shared/clock.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';

interface Heard {
  at: Millis;
  /** Pools of which it knows a worker. */
  pools: ReadonlySet<string>;
  connection: number | undefined;
}

/** The routers that live, by their heartbeats. Questions go to them in turn. */
export class Routers {
  readonly #clock: Clock;
  readonly #heardOf = new Map<string, Heard>();
  /**
   * Whose turn it may be, in an array. A router that has just started knows no worker yet and would refuse everything:
   * it is passed by as long as another knows some.
   */
  #askable: readonly string[] = [];
  #turn = 0;
  readonly #onGone: (router: string) => void;

  /** @param onGone whoever waits at this router must ask elsewhere */
  constructor(clock: Clock, onGone: (router: string) => void) {
    this.#clock = clock;
    this.#onGone = onGone;
  }

  get count(): number {
    return this.#heardOf.size;
  }

  /** Pools that some router can place requests in. */
  pools(): Set<string> {
    const pools = new Set<string>();
    for (const heard of this.#heardOf.values()) for (const pool of heard.pools) pools.add(pool);
    return pools;
  }

  onBeat({ router, isDraining, spent, connection }: RouterBeat): void {
    if (isDraining) return this.remove(router);
    const before = this.#heardOf.get(router);
    const pools = new Set(spent.map(({ pool }) => pool));
    this.#heardOf.set(router, { at: this.#clock.now(), pools, connection });
    if (before === undefined || (before.pools.size === 0) !== (pools.size === 0)) this.#chooseAskable();
    // It has lost its connection meanwhile and made a new one: what waited there is forgotten, though it lives.
    if (before !== undefined && before.connection !== connection) this.#onGone(router);
  }

  /** undefined: no router lives. */
  next(): string | undefined {
    this.#turn = (this.#turn + 1) % Math.max(1, this.#askable.length);
    return this.#askable[this.#turn];
  }

  remove(router: string): void {
    if (!this.#heardOf.delete(router)) return;
    this.#chooseAskable();
    this.#onGone(router);
  }

  clear(): void {
    for (const router of [...this.#heardOf.keys()]) this.remove(router);
  }

  /** @param stalledMs how long this process itself heard nothing because it was busy: nobody is blamed for that */
  sweep(now: Millis, stalledMs: Millis): void {
    for (const [router, heard] of this.#heardOf) {
      if (stalledMs > 0) heard.at += stalledMs;
      else if (now - heard.at > SILENT_AFTER_MS) this.remove(router);
    }
  }

  #chooseAskable(): void {
    const knowing = [...this.#heardOf].filter(([, { pools }]) => pools.size > 0).map(([router]) => router);
    this.#askable = knowing.length > 0 ? knowing : [...this.#heardOf.keys()];
  }
}
