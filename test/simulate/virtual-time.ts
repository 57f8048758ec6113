import type { Clock, Millis } from '../../shared/clock.ts';

/** One hop through the broker: what is posted arrives this much later, in the order in which it was posted. */
export const HOP_MS = 0.2;
const EPOCH_MS = Date.UTC(2026, 0, 1);

type Run = () => void;

/** Something that is going to happen. */
interface Event {
  readonly at: Millis;
  /** Of two at the same time the one that was planned first happens first. */
  readonly order: number;
  /** undefined: it was called off. */
  run: Run | undefined;
}

/**
 * A clock that jumps from event to event. Timers are in a binary heap; messages, of which there are most, all take equally
 * long and so need only a queue.
 */
export class VirtualTime {
  readonly clock: Clock = { now: () => this.#now, epochMs: () => EPOCH_MS + this.#now };
  readonly #timers: Event[] = [];
  #hops: Event[] = [];
  #firstHop = 0;
  #turnEnd: Run[] = [];
  #now: Millis = 0;
  #planned = 0;

  get now(): Millis {
    return this.#now;
  }

  /** Answers what calls it off. */
  after(ms: Millis, run: Run): Run {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#planned++, run };
    const timers = this.#timers;
    let place = timers.length;
    for (timers.push(event); place > 0;) {
      const above = (place - 1) >> 1;
      if (!isBefore(event, timers[above]!)) break;
      timers[place] = timers[above]!;
      place = above;
    }
    timers[place] = event;
    return () => (event.run = undefined);
  }

  /** The first time one period from now. */
  every(ms: Millis, run: Run): Run {
    let cancel: Run;
    const again = (): void => {
      cancel = this.after(ms, again);
      run();
    };
    cancel = this.after(ms, again);
    return () => cancel();
  }

  /** Delivers a message. */
  hop(run: Run): void {
    this.#hops.push({ at: this.#now + HOP_MS, order: this.#planned++, run });
  }

  /** After what happens now, and before anything else. */
  atTurnEnd(run: Run): void {
    this.#turnEnd.push(run);
  }

  /** Lets everything happen that is due until then. */
  runUntil(end: Millis): void {
    this.#endTurn();
    for (;;) {
      const timer = this.#timers[0];
      const hop = this.#hops[this.#firstHop];
      const isHop = hop !== undefined && (timer === undefined || isBefore(hop, timer));
      const next = isHop ? hop : timer;
      if (next === undefined || next.at > end) break;
      if (isHop) this.#shiftHop();
      else this.#popTimer();
      this.#now = next.at;
      if (next.run === undefined) continue;
      next.run();
      if (this.#turnEnd.length > 0) this.#endTurn();
    }
    this.#now = end;
  }

  /**
   * Runs what the services' own code does with this clock's timers in place of the process' own. Nothing else may run
   * meanwhile, so `work` is synchronous.
   */
  govern(work: Run): void {
    const { setImmediate, setInterval, setTimeout, clearInterval, clearTimeout } = globalThis;
    const call = (cancel: unknown): void => (cancel as Run | undefined)?.();
    Object.assign(globalThis, {
      setImmediate: (run: Run) => this.atTurnEnd(run),
      setInterval: (run: Run, ms: Millis) => this.every(ms, run),
      setTimeout: (run: Run, ms: Millis) => this.after(ms, run),
      clearInterval: call,
      clearTimeout: call,
    });
    try {
      work();
    } finally {
      Object.assign(globalThis, { setImmediate, setInterval, setTimeout, clearInterval, clearTimeout });
    }
  }

  #endTurn(): void {
    while (this.#turnEnd.length > 0) {
      const runs = this.#turnEnd;
      this.#turnEnd = [];
      for (const run of runs) run();
    }
  }

  #shiftHop(): void {
    this.#firstHop++;
    if (this.#firstHop < 4_096 || this.#firstHop * 2 < this.#hops.length) return;
    this.#hops = this.#hops.slice(this.#firstHop);
    this.#firstHop = 0;
  }

  #popTimer(): void {
    const timers = this.#timers;
    const last = timers.pop();
    if (last === undefined || timers.length === 0) return;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= timers.length) break;
      const right = left + 1;
      const child = right < timers.length && isBefore(timers[right]!, timers[left]!) ? right : left;
      if (!isBefore(timers[child]!, last)) break;
      timers[place] = timers[child]!;
      place = child;
    }
    timers[place] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
