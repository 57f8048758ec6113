import type { ServerResponse } from 'node:http';
import type { Millis } from '../../shared/clock.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { ExchangeDeps } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { AdmittedRequest } from './request.ts';

/** Requests that one ingress owns at once; the next is told `overloaded`. */
const MAX_EXCHANGES = 20_000;
/** Bytes of their bodies; the same. */
const MAX_BODY_BYTES = 1024 * 1024 * 1024;

/** All requests that this ingress owns. */
export class Exchanges {
  readonly #deps: ExchangeDeps;
  readonly #live = new Map<Exchange, number>();
  #bodyBytes = 0;
  #onIdle: (() => void) | undefined;

  constructor(deps: Omit<ExchangeDeps, 'onOver'>) {
    this.#deps = { ...deps, onOver: (exchange) => this.#onOver(exchange) };
  }

  get size(): number {
    return this.#live.size;
  }

  /** Why no further request is taken now; undefined when one is. */
  refusal(): GatewayError | undefined {
    if (!this.#deps.outgoing.isConnected)
      return new GatewayError('broker_unavailable', 'The message broker is away.', { retryAfterMs: 1_000 });
    if (this.#live.size < MAX_EXCHANGES && this.#bodyBytes < MAX_BODY_BYTES) return undefined;
    return new GatewayError('overloaded', 'This gateway has as many requests as it can hold.', { retryAfterMs: 1_000 });
  }

  begin(request: AdmittedRequest, response: ServerResponse): void {
    const exchange = new Exchange(this.#deps, request, response);
    this.#live.set(exchange, request.body.length);
    this.#bodyBytes += request.body.length;
    exchange.start();
  }

  onPeerGone(peer: string): void {
    for (const exchange of [...this.#live.keys()]) exchange.onPeerGone(peer);
  }

  onBrokerGone(): void {
    for (const exchange of [...this.#live.keys()]) exchange.onBrokerGone();
  }

  sweep(now: Millis): void {
    for (const exchange of this.#live.keys()) exchange.check(now);
  }

  /** Tells every client that is still being served that it ends here. */
  endAll(): void {
    for (const exchange of [...this.#live.keys()]) exchange.onShutdown();
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

  #onOver(exchange: Exchange): void {
    this.#bodyBytes -= this.#live.get(exchange) ?? 0;
    this.#live.delete(exchange);
    if (this.#live.size === 0) this.#onIdle?.();
  }
}
