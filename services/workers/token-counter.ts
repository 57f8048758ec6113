import { Worker } from 'node:worker_threads';
import type { Millis } from '../../shared/clock.ts';
import type { Log } from '../../shared/log.ts';
import type { SaidText } from './core/said-text.ts';

/** Streams that wait to be counted; those beyond are estimated. */
const MAX_WAITING = 256;
/** The tokenizer loads in 0.2 s, and 16 KiB take 50 ms at worst; who waits longer is estimated. */
const WAIT_MS: Millis = 2_000;

/** Tokens by a tokenizer. */
export interface CountedTokens {
  /** undefined: the request is not all text, or was not kept. */
  readonly input: number | undefined;
  readonly output: number;
}

export interface CountQuestion {
  readonly id: number;
  readonly prompt: Uint8Array | undefined;
  readonly said: Uint8Array;
  readonly saidBytes: number;
}

export interface Counted extends CountedTokens {
  readonly id: number;
}

/**
 * Counts tokens in a thread of its own, which begins with the first question: only for streams that were left before their
 * provider told its own count.
 */
export class TokenCounter {
  readonly #log: Log;
  readonly #waiting = new Map<
    number,
    { resolve: (counted: CountedTokens | undefined) => void; timer: NodeJS.Timeout }
  >();
  #thread: Worker | undefined;
  #lastId = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @returns undefined when there is no room or no time: an estimate has to do */
  count(prompt: Buffer | undefined, said: SaidText): Promise<CountedTokens | undefined> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(undefined);
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<CountedTokens | undefined>();
    const timer = setTimeout(() => this.#answer(id, undefined), WAIT_MS);
    this.#waiting.set(id, { resolve, timer });
    const question: CountQuestion = { id, prompt, said: said.text, saidBytes: said.bytes };
    this.#running().postMessage(question);
    return promise;
  }

  async stop(): Promise<void> {
    for (const id of [...this.#waiting.keys()]) this.#answer(id, undefined);
    await this.#thread?.terminate();
  }

  #running(): Worker {
    if (this.#thread !== undefined) return this.#thread;
    const thread = new Worker(new URL('./token-counter-thread.ts', import.meta.url));
    // It must not keep a process alive that is done.
    thread.unref();
    thread.on('message', ({ id, input, output }: Counted) => this.#answer(id, { input, output }));
    thread.on('error', (err) => this.#log.error({ err }, 'the thread that counts tokens failed'));
    thread.on('exit', () => {
      this.#thread = undefined;
      for (const id of [...this.#waiting.keys()]) this.#answer(id, undefined);
    });
    this.#thread = thread;
    return thread;
  }

  #answer(id: number, counted: CountedTokens | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    waiting.resolve(counted);
  }
}
