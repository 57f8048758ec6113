import { GatewayError } from '../../../shared/errors.ts';

/**
 * Lets some pieces of work run at once and others wait for their turn, so that a burst of reports leaves the ledger's
 * other work its connections. Beyond `maxWaiting` it refuses.
 */
export class Gate {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #waiting: Array<() => void> = [];
  #running = 0;

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
  }

  /** @throws GatewayError(`overloaded`), or whatever `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#maxRunning) this.#running++;
    else {
      if (this.#waiting.length >= this.#maxWaiting)
        throw new GatewayError('overloaded', 'Too many requests of this sort wait already.', { retryAfterMs: 1_000 });
      // Whoever ends hands its place over.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
