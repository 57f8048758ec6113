/** Events sent in pieces: `split` in two writes 1 ms apart, `bytewise` one byte a write. */
import type { Connection } from './connection.ts';
import type { Due, Schedule, Timer } from './schedule.ts';
import type { Script } from './script.ts';

export class Fragments implements Due {
  readonly #schedule: Schedule;
  readonly #connection: Connection;
  readonly #script: Script;
  readonly #onOut: () => void;
  #queue: string[] = [];
  #timer: Timer | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #then: (() => void) | undefined;

  /** `onOut` runs when everything is written, unless `start` was given something else to run. */
  constructor(schedule: Schedule, connection: Connection, script: Script, onOut: () => void) {
    this.#schedule = schedule;
    this.#connection = connection;
    this.#script = script;
    this.#onOut = onOut;
  }

  get isBusy(): boolean {
    return this.#timer !== undefined || this.#immediate !== undefined;
  }

  /** Cuts whole events; `text` may hold several. Every piece is an HTTP chunk of its own. */
  add(text: string): void {
    const events = text.match(/[^]*?(?:\n\n|\r\n\r\n)|[^]+$/g) ?? [];
    for (const event of events) {
      const pieces = this.#script.bytewise
        ? event.split('')
        : [event.slice(0, this.#script.split), event.slice(this.#script.split)];
      for (const piece of pieces) {
        if (piece !== '') this.#queue.push(`${piece.length.toString(16)}\r\n${piece}\r\n`);
      }
    }
  }

  /** Starts writing; false when there is nothing to write. */
  start(then?: () => void): boolean {
    if (then !== undefined) this.#then = then;
    if (this.isBusy) return true;
    if (this.#queue.length === 0) {
      this.#then = undefined;
      return false;
    }
    this.onDue();
    return true;
  }

  stop(): void {
    if (this.#timer !== undefined) this.#schedule.cancel(this.#timer);
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#queue = [];
  }

  onDue(): void {
    this.#timer = undefined;
    this.#immediate = undefined;
    const piece = this.#queue.shift();
    if (piece !== undefined) {
      this.#connection.write(piece);
      if (this.#script.bytewise) this.#immediate = setImmediate(() => this.onDue());
      else this.#timer = this.#schedule.at(performance.now() + 1, this);
      return;
    }
    const then = this.#then ?? this.#onOut;
    this.#then = undefined;
    then();
  }
}
