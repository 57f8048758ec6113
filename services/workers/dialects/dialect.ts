import type { Deployment } from '../../../shared/catalog.ts';
import type { GatewayError } from '../../../shared/errors.ts';
import type { TokenUsage } from '../../../shared/messages/attempt.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { SaidText } from '../core/said-text.ts';

/** What is sent to a provider, besides its credentials. The body is a list of views: nothing was copied to change it. */
export interface UpstreamRequest {
  /** After the provider's base URL. */
  readonly path: string;
  readonly accept: string;
  readonly body: readonly Buffer[];
}

/** A plain answer, ready for the client. */
export interface PlainAnswer {
  readonly body: readonly Buffer[];
  /** undefined: the provider told none. */
  readonly usage: TokenUsage | undefined;
  readonly finish: string | null;
}

/** Reads one stream of a provider and makes the client's. */
export interface StreamReader {
  /** @throws GatewayError when the provider reports a failure in the stream or breaks its format */
  push(chunk: Buffer): void;
  /** The connection ended: what is left may be an end mark whose blank line was spared. */
  end(): void;
  /** The bytes for the client that `push` has made since the last call. */
  takeOutput(): Buffer[];
  /** Something the client was waiting for has come: from here on no other deployment may take over. */
  readonly hasContent: boolean;
  /** The stream came to its end mark, and everything that must precede it was there. */
  readonly isComplete: boolean;
  /** Why the stream is not whole; for when the connection ended without `isComplete`. */
  readonly missing: string;
  /** The provider's own count; undefined as long as it told none. */
  readonly usage: TokenUsage | undefined;
  /** Counted by us while the tokens went by; for streams that end before their usage. */
  readonly outputTokensSoFar: number;
  /** What those tokens said. */
  readonly said: SaidText;
  readonly finish: string | null;
}

/** What of a deployment decides how a request to it is written. */
export type Target = Pick<Deployment, 'upstreamModel' | 'prefill' | 'outputLimit'>;

/** A wire format: one interface, and code only where formats differ. */
export interface Dialect {
  /** @throws GatewayError(`invalid_request`) when what a budget covers cannot be told to the provider beyond doubt */
  encodeRequest(task: TaskHead, body: readonly Buffer[], deployment: Target): UpstreamRequest;
  /** @throws GatewayError(`upstream_malformed`) when this is no answer */
  readAnswer(task: TaskHead, body: Buffer): PlainAnswer;
  readStream(task: TaskHead): StreamReader;
  /** What a status other than 2xx means. */
  readError(
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    body: Buffer,
    nowEpochMs: number,
  ): GatewayError;
}
