/** An answer that is a list of writes at given times, and an ending. */
import type { Connection, Exchange } from './connection.ts';
import type { Engine } from './engine.ts';
import type { Plan } from './plan.ts';
import type { Due, Timer } from './schedule.ts';
import { unixMs } from './stats.ts';

export interface Step {
  /** Milliseconds after the step before. */
  readonly afterMs: number;
  /** Binary string; '' only waits. */
  readonly text: string;
}

/** What the answer counts for when all of it was sent. */
export interface TimelineCounts {
  readonly prompt: number;
  readonly completion: number;
  readonly isCut: boolean;
}

export class Timeline implements Exchange, Due {
  readonly #engine: Engine;
  readonly #connection: Connection;
  readonly #plan: Plan;
  readonly #steps: readonly Step[];
  readonly #ending: 'finish' | 'end' | 'reset';
  readonly #counts: TimelineCounts;
  readonly #startedAt = performance.now();
  #index = 0;
  #dueAt = this.#startedAt;
  #timer: Timer | undefined;

  constructor(
    engine: Engine,
    connection: Connection,
    plan: Plan,
    steps: readonly Step[],
    ending: 'finish' | 'end' | 'reset',
    counts: TimelineCounts,
  ) {
    this.#engine = engine;
    this.#connection = connection;
    this.#plan = plan;
    this.#steps = steps;
    this.#ending = ending;
    this.#counts = counts;
    connection.begin(this);
    this.#next();
  }

  /** Does the steps that are due at once, then waits for the next or ends. */
  #next(): void {
    for (;;) {
      const step = this.#steps[this.#index];
      if (step === undefined) return this.#end();
      if (step.afterMs > 0 && this.#timer === undefined) {
        this.#dueAt += step.afterMs;
        this.#timer = this.#engine.schedule.at(this.#dueAt, this);
        return;
      }
      this.#timer = undefined;
      this.#index++;
      if (step.text !== '') this.#connection.write(step.text);
    }
  }

  #end(): void {
    const { stats } = this.#engine;
    stats.tokens(this.#plan.counters, this.#counts.prompt, this.#counts.completion);
    if (this.#counts.isCut) stats.cut(this.#plan.counters);
    stats.end();
    if (this.#ending === 'finish') this.#connection.finish(false);
    else if (this.#ending === 'end') this.#connection.end();
    else this.#connection.reset();
  }

  onDue(): void {
    this.#next();
  }

  onDrain(): void {
    // the steps are small: they may wait in the socket's buffer
  }

  onGone(): void {
    if (this.#timer !== undefined) this.#engine.schedule.cancel(this.#timer);
    const { stats } = this.#engine;
    stats.abandoned(this.#plan.counters, {
      atMs: unixMs(),
      afterMs: performance.now() - this.#startedAt,
      key: this.#plan.key,
      model: this.#plan.model,
      tokens: 0,
    });
    stats.end();
  }
}
