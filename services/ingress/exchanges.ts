import type { ServerResponse } from 'node:http';
import { ChurnMap } from '../../shared/churn-map.ts';
import type { Millis } from '../../shared/clock.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Terms } from './admission.ts';
import type { ExchangeDeps } from './exchange.ts';
import { Exchange } from './exchange.ts';

/** Requests that one ingress owns at once; the next is told `overloaded`. */
const MAX_EXCHANGES = 20_000;
/** Bytes of their bodies; the same. */
const MAX_BODY_BYTES = 1024 * 1024 * 1024;

/** All requests that this ingress owns. */
export class Exchanges {
  readonly #deps: ExchangeDeps;
  readonly #live = new ChurnMap<Exchange>();
  #bodyBytes = 0;
  /** Requests that are being admitted: not ours yet, but their bodies are here. */
  #waiting = 0;
  #onIdle: (() => void) | undefined;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#live.size;
  }

  /** Why no further request is taken now; undefined when one is. */
  refusal(): GatewayError | undefined {
    if (!this.#deps.outgoing.isConnected)
      return new GatewayError('broker_unavailable', 'The message broker is away.', { retryAfterMs: 1_000 });
    if (this.#live.size + this.#waiting < MAX_EXCHANGES && this.#bodyBytes < MAX_BODY_BYTES) return undefined;
    return new GatewayError('overloaded', 'This gateway has as many requests as it can hold.', { retryAfterMs: 1_000 });
  }

  begin(terms: Terms, response: ServerResponse): void {
    // Its client left while it was being admitted: nobody would tell of that any more.
    if (response.destroyed) return terms.over({ tokens: 0, costNanoUsd: 0 });
    const { length } = terms.request.body;
    const exchange = new Exchange(this.#deps, terms, response, () => this.#end(number, length));
    const number = this.#live.add(exchange);
    this.#bodyBytes += length;
    exchange.start();
  }

  /** A request waits for its admission, with a body of so many bytes. Answers what is to be called when it no longer does. */
  wait(bodyBytes: number): () => void {
    this.#waiting++;
    this.#bodyBytes += bodyBytes;
    return () => {
      this.#waiting--;
      this.#bodyBytes -= bodyBytes;
    };
  }

  onPeerGone(peer: string): void {
    for (const exchange of this.#live.values()) exchange.onPeerGone(peer);
  }

  onBrokerGone(): void {
    for (const exchange of this.#live.values()) exchange.onBrokerGone();
  }

  sweep(now: Millis): void {
    for (const exchange of this.#live.values()) exchange.check(now);
  }

  /** Tells every client that is still being served that it ends here. */
  endAll(): void {
    for (const exchange of this.#live.values()) exchange.onShutdown();
  }

  /** Resolves when there is none, or after `limitMs`. */
  async idle(limitMs: Millis): Promise<void> {
    if (this.#live.size === 0) return;
    let limit: NodeJS.Timeout | undefined;
    await Promise.race([
      new Promise<void>((resolve) => (this.#onIdle = resolve)),
      new Promise<void>((resolve) => (limit = setTimeout(resolve, limitMs))),
    ]);
    clearTimeout(limit);
  }

  #end(number: number, bodyBytes: number): void {
    this.#bodyBytes -= bodyBytes;
    this.#live.delete(number);
    if (this.#live.size === 0) this.#onIdle?.();
  }
}
