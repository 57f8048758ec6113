import type { ServerResponse } from 'node:http';
import type { Millis } from '../../shared/clock.ts';
import { toOpenAiError, toOpenAiErrorEvent } from '../../shared/dialects/openai-error.ts';
import type { GatewayError } from '../../shared/errors.ts';
import type { HeaderList } from './core/response-headers.ts';

/** A stream may be this far ahead of its client; half of it is granted anew once it was taken. */
export const CREDIT_BYTES = 256 * 1024;
const GRANT_BYTES = CREDIT_BYTES / 2;
const KEEP_ALIVE_COMMENT = ': keep-alive\n\n';

export interface RelayDeps {
  readonly response: ServerResponse;
  readonly isStream: boolean;
  /** The client has taken `bytes` more: the worker may send as many. */
  readonly onTaken: (bytes: number) => void;
  readonly now: () => Millis;
}

const CR = 0x0d;
const LF = 0x0a;

/** One chunk of HTTP/1.1's chunked coding (RFC 9112, 7.1). */
function toChunk(bytes: Buffer): Buffer {
  const length = bytes.length.toString(16);
  const chunk = Buffer.allocUnsafe(length.length + bytes.length + 4);
  let at = chunk.write(length, 'latin1');
  chunk[at++] = CR;
  chunk[at++] = LF;
  at += bytes.copy(chunk, at);
  chunk[at++] = CR;
  chunk[at] = LF;
  return chunk;
}

/**
 * The client's side of one request: copies bytes to its socket and knows how many it has taken. It parses nothing.
 * A client that does not read costs at most `CREDIT_BYTES`, and nobody else's latency.
 */
export class Relay {
  readonly #response: ServerResponse;
  readonly #isStream: boolean;
  readonly #onTaken: (bytes: number) => void;
  readonly #now: () => Millis;
  #untaken = 0;
  #ungranted = 0;
  #lastWriteAt: Millis;
  #blockedSince: Millis | undefined;
  #isOver = false;
  #hasWritten = false;

  constructor({ response, isStream, onTaken, now }: RelayDeps) {
    this.#response = response;
    this.#isStream = isStream;
    this.#onTaken = onTaken;
    this.#now = now;
    this.#lastWriteAt = now();
    response.on('drain', this.#onDrain);
  }

  /** The status line is gone: from here on a failure can only be an event in the stream. */
  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** How long the client has taken nothing although there was something to take. */
  blockedFor(now: Millis): Millis {
    return this.#blockedSince === undefined ? 0 : now - this.#blockedSince;
  }

  /** How far the stream may go ahead of its client now. */
  get creditBytes(): number {
    return Math.max(0, CREDIT_BYTES - this.#untaken - this.#ungranted);
  }

  silentFor(now: Millis): Millis {
    return now - this.#lastWriteAt;
  }

  /** A whole plain answer. */
  whole(headers: HeaderList, body: Buffer): void {
    this.#response.writeHead(200, { ...headers, 'content-length': body.length });
    this.#isOver = true;
    // As a string it leaves in one write with the head, as a buffer in a vector of two: 2.5 µs.
    this.#response.end(body.toString('latin1'), 'latin1');
  }

  /** The beginning of a stream, or of a plain answer of `bodyBytes`. */
  begin(headers: HeaderList, bodyBytes?: number): void {
    if (this.hasBegun) return;
    const length = bodyBytes === undefined ? {} : { 'content-length': bodyBytes };
    this.#response.writeHead(200, { ...headers, ...length });
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#lastWriteAt = this.#now();
    this.#untaken += bytes.length;
    if (this.#write(bytes)) this.#taken();
    else this.#blockedSince ??= this.#lastWriteAt;
  }

  /**
   * A chunk goes to the socket as one buffer: `response.write` would make four of it (length, CRLF, data, CRLF), and a
   * token's cost is its writes. The first one goes through the response, which sends its head with it; so does what
   * comes in the same tick (the response holds it back until then), what is not chunked, and what is not yet this
   * socket's turn (pipelining). The copy also frees the message that the bytes came in.
   */
  #write(bytes: Buffer): boolean {
    const response = this.#response;
    const { socket } = response;
    if (!this.#hasWritten || !response.chunkedEncoding || response.writableCorked > 0 || socket === null) {
      this.#hasWritten = true;
      return response.write(this.#blockedSince === undefined ? bytes : Buffer.from(bytes));
    }
    const isFree = socket.write(toChunk(bytes));
    if (!isFree && this.#blockedSince === undefined) socket.once('drain', this.#onDrain);
    return isFree;
  }

  /** A comment line, so that nothing on the way takes a thinking model for a dead connection. */
  keepAlive(headers: HeaderList): void {
    if (!this.#isStream || this.#isOver || this.#blockedSince !== undefined) return;
    this.begin(headers);
    this.#lastWriteAt = this.#now();
    this.#response.write(KEEP_ALIVE_COMMENT);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#response.end();
  }

  /** Tells the client of a failure, in the way that is still open: a status, an event, or a cut connection. */
  fail(error: GatewayError, headers: HeaderList): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.hasBegun) {
      const answer = toOpenAiError(error);
      const body = Buffer.from(answer.body);
      this.#response.writeHead(answer.status, {
        ...headers,
        ...answer.headers,
        'content-type': 'application/json',
        'content-length': body.length,
      });
      this.#response.end(body);
    } else if (this.#isStream) {
      this.#response.end(toOpenAiErrorEvent(error));
    } else {
      // A plain answer that stops short of its content-length: the client's HTTP library reports it as cut.
      this.#response.destroy();
    }
  }

  destroy(): void {
    this.#isOver = true;
    this.#response.destroy();
  }

  readonly #onDrain = (): void => {
    this.#blockedSince = undefined;
    if (!this.#isOver) this.#taken();
  };

  #taken(): void {
    this.#ungranted += this.#untaken;
    this.#untaken = 0;
    if (this.#ungranted < GRANT_BYTES) return;
    this.#onTaken(this.#ungranted);
    this.#ungranted = 0;
  }
}
