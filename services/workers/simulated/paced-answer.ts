import type { ServerResponse } from 'node:http';
import type { Millis } from '../../../shared/clock.ts';
import type { Job, Ticker } from './ticker.ts';

/** What is due at once goes in one write, up to here. */
const MAX_WRITE_CHARS = 64 * 1024;

export interface PacedAnswerOptions {
  readonly ticker: Ticker;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  /** When the first beat is due, and how long after one the next is. */
  readonly startAt: Millis;
  readonly nextMs: () => Millis;
  /** Made only as they are sent. */
  readonly beats: Iterator<string, void>;
}

/**
 * Sends an answer at its tempo. The status goes with the first beat, as a provider's does. A client that does not read
 * stops it until it does; one that goes away ends it.
 */
export class PacedAnswer implements Job {
  readonly #options: PacedAnswerOptions;
  dueAt: Millis;

  constructor(options: PacedAnswerOptions) {
    this.#options = options;
    this.dueAt = options.startAt;
  }

  start(): void {
    const { ticker, response, headers } = this.#options;
    if (response.destroyed) return;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.on('close', () => ticker.delete(this));
    ticker.add(this);
  }

  run(now: Millis): void {
    const { ticker, response, beats, nextMs } = this.#options;
    let text = '';
    while (this.dueAt <= now && text.length < MAX_WRITE_CHARS) {
      const beat = beats.next();
      if (beat.done === true) {
        ticker.delete(this);
        // Without a write before it, node tells the length of a plain answer by itself.
        response.end(text);
        return;
      }
      text += beat.value;
      this.dueAt += nextMs();
    }
    if (response.write(text)) return;
    ticker.delete(this);
    response.once('drain', () => {
      if (!response.destroyed) ticker.add(this);
    });
  }
}
