import { Pool } from 'undici';
import type { Dispatcher } from 'undici';
import type { ProviderConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { UpstreamRequest } from './dialects/dialect.ts';

export type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What becomes of a call. After `onEnd` or `onError` nothing more comes. */
export interface UpstreamListener {
  onHeaders(status: number, headers: UpstreamHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: GatewayError): void;
}

/** One call of a provider. `abort` closes its connection: the provider sees it at once. */
export interface UpstreamCall {
  abort(): void;
  /** Stops reading the socket, so that TCP slows the provider down. */
  pause(): void;
  resume(): void;
}

const KEEP_ALIVE_MS = 60_000;
/** Bodies in several parts are joined up to here, for one write; larger ones are written part by part and never copied. */
const JOIN_BELOW_BYTES = 64 * 1024;

/** A list of models, say. More of it closes the connection. */
const MAX_CHECK_BYTES = 1024 * 1024;

/** Why a call was ended by us: undici hands it back to `onResponseError`. */
class Aborted extends Error {
  override readonly name = 'Aborted';
}

/**
 * The connections to one provider. `dispatch`, not `fetch`: a fifth of its CPU. Time limits are the attempt's, so undici
 * has none but the one for connecting; slots bound the calls, so undici needs no bound on connections and never queues.
 */
export class Upstream {
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #authorization: Record<string, string>;

  /** @throws Error when the provider has no base URL */
  constructor(provider: ProviderConfig) {
    if (provider.baseUrl === undefined) throw new Error(`provider ${provider.name} has no base URL`);
    const { origin, pathname } = new URL(provider.baseUrl);
    this.#basePath = pathname === '/' ? '' : pathname;
    this.#authorization = provider.apiKey === undefined ? {} : { authorization: `Bearer ${provider.apiKey}` };
    this.#pool = new Pool(origin, {
      pipelining: 1,
      // One connection for each call, so that closing it is what cancels the call.
      allowH2: false,
      connect: { timeout: provider.timeouts.connectMs },
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
  }

  /** Starts a call. Nothing of the listener is called before this returns. */
  call(request: UpstreamRequest, traceparent: string | undefined, listener: UpstreamListener): UpstreamCall {
    const { body, bytes } = joinSmall(request.body);
    const handler = new CallHandler(listener);
    const options: Dispatcher.DispatchOptions = {
      path: this.#basePath + request.path,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'content-length': String(bytes),
        accept: request.accept,
        'user-agent': 'sluice',
        ...(traceparent === undefined ? {} : { traceparent }),
        ...this.#authorization,
      },
      body: body as NonNullable<Dispatcher.DispatchOptions['body']>,
    };
    this.#pool.dispatch(options, handler);
    return handler;
  }

  /**
   * The status of a GET with the credential; the body is thrown away.
   * @throws GatewayError when there is none within `timeoutMs`
   */
  async get(path: string, timeoutMs: number): Promise<number> {
    const signal = AbortSignal.timeout(timeoutMs);
    const headers = { 'user-agent': 'sluice', accept: 'application/json', ...this.#authorization };
    try {
      const { statusCode, body } = await this.#pool.request({
        path: this.#basePath + path,
        method: 'GET',
        headers,
        signal,
      });
      await body.dump({ limit: MAX_CHECK_BYTES, signal });
      return statusCode;
    } catch (cause) {
      if (signal.aborted) throw new GatewayError('upstream_timeout', 'The provider did not answer in time.', { cause });
      throw explain(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  /** Closes idle connections, and those in use as soon as their calls end. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

class CallHandler implements Dispatcher.DispatchHandler, UpstreamCall {
  readonly #listener: UpstreamListener;
  #controller: Dispatcher.DispatchController | undefined;
  #isAborted = false;

  constructor(listener: UpstreamListener) {
    this.#listener = listener;
  }

  abort(): void {
    this.#isAborted = true;
    this.#controller?.abort(new Aborted('aborted by the gateway'));
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isAborted) controller.abort(new Aborted('aborted by the gateway'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    if (status >= 200 && !this.#isAborted) this.#listener.onHeaders(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isAborted) this.#listener.onData(chunk);
  }

  onResponseEnd(): void {
    if (!this.#isAborted) this.#listener.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#isAborted) this.#listener.onError(explain(error));
  }
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Which half of the call failed. The error's text names hosts and ports, so it stays in `cause`, for the log. */
function explain(error: Error): GatewayError {
  const code = 'code' in error ? String(error.code) : '';
  if (UNREACHABLE.has(code) || error instanceof AggregateError) {
    return new GatewayError('upstream_unreachable', 'The provider could not be reached.', { cause: error });
  }
  return new GatewayError('upstream_failed', 'The connection to the provider broke.', { cause: error });
}

function joinSmall(parts: readonly Buffer[]): { body: Buffer | Iterable<Buffer>; bytes: number } {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  if (parts.length === 1) return { body: parts[0] as Buffer, bytes };
  return { body: bytes <= JOIN_BELOW_BYTES ? Buffer.concat(parts, bytes) : parts, bytes };
}
