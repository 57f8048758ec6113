/**
 * An HTTP/1.1 request parser that takes bytes as they come, cut anywhere: keep-alive, content-length and chunked bodies,
 * pipelining. Requests that arrive whole in one read are handed over without a copy.
 */

export interface RequestHead {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  /** false: the client wants the connection closed after the answer. */
  readonly keepAlive: boolean;
  /** Bytes; 0 when there is neither a length nor chunks. */
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly expectsContinue: boolean;
  /** Values as received, '' when absent. */
  readonly authorization: string;
  readonly xApiKey: string;
  readonly xMock: string;
  /** The head's bytes, blank line included. */
  readonly raw: Buffer;
}

export interface RequestSink {
  /** The head is complete and a body is still to come. */
  onExpectContinue(): void;
  /** A whole request. `body[start, end)` is valid only during the call. */
  onRequest(head: RequestHead, body: Buffer, start: number, end: number): void;
}

/** The bytes are not HTTP, or too many; the connection answers `status` and closes. */
export class BadRequest extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Past this a head gets 431. */
const MAX_HEAD_BYTES = 65_536;
/** Past this a body gets 413. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

const CR = 13;
const LF = 10;
const COLON = 58;
const SPACE = 32;

type State = 'head' | 'fixed' | 'size' | 'data' | 'data-end' | 'trailer';

export class RequestParser {
  readonly #sink: RequestSink;
  #state: State = 'head';
  #head: RequestHead | undefined;
  /** The last complete head: a client that repeats it byte for byte is not parsed again. */
  #lastHead: RequestHead | undefined;
  /** Bytes of an incomplete head or chunk-size line. */
  #line: Buffer = Buffer.alloc(0);
  #body: Buffer = Buffer.alloc(0);
  #bodyLength = 0;
  /** Bytes left of the fixed body or of the current chunk. */
  #left = 0;

  constructor(sink: RequestSink) {
    this.#sink = sink;
  }

  /** true while part of a request has arrived. */
  get isInside(): boolean {
    return this.#state !== 'head' || this.#line.length > 0;
  }

  /** Takes `chunk[0, length)`; the chunk may be reused afterwards. Throws BadRequest. */
  feed(chunk: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      switch (this.#state) {
        case 'head':
          at = this.#feedHead(chunk, at, length);
          break;
        case 'fixed':
        case 'data':
          at = this.#feedBody(chunk, at, length);
          break;
        case 'size':
        case 'data-end':
        case 'trailer':
          at = this.#feedLine(chunk, at, length);
          break;
      }
    }
  }

  #feedHead(chunk: Buffer, at: number, length: number): number {
    if (this.#line.length > 0) {
      // Rare: a head over several reads. Joined with all of this read, looked at again from its start.
      const before = this.#line.length;
      const joined = Buffer.concat([this.#line, chunk.subarray(at, length)]);
      this.#line = Buffer.alloc(0);
      const end = endOfHead(joined, 0, joined.length);
      if (end < 0) {
        this.#keepLine(joined);
        return length;
      }
      this.#begin(parseHead(joined, 0, end));
      return at + end - before;
    }
    if (chunk[at] === CR || chunk[at] === LF) return at + 1; // blank lines before a request (RFC 9112, 2.2)
    const last = this.#lastHead;
    let head: RequestHead;
    if (last !== undefined && repeats(last.raw, chunk, at, length)) {
      head = last;
    } else {
      const end = endOfHead(chunk, at, length);
      if (end < 0) {
        this.#keepLine(Buffer.from(chunk.subarray(at, length)));
        return length;
      }
      head = parseHead(chunk, at, end);
      this.#lastHead = head;
    }
    const bodyAt = at + head.raw.length;
    const bodyEnd = bodyAt + head.contentLength;
    if (!head.chunked && bodyEnd <= length) {
      this.#sink.onRequest(head, chunk, bodyAt, bodyEnd);
      return bodyEnd;
    }
    this.#begin(head);
    return bodyAt;
  }

  #keepLine(line: Buffer): void {
    if (line.length > MAX_HEAD_BYTES) throw new BadRequest(431, 'the head is too large');
    this.#line = line;
  }

  /** Starts the body of a request whose head is complete; ends it at once when there is none. */
  #begin(head: RequestHead): void {
    if (head.contentLength > MAX_BODY_BYTES) throw new BadRequest(413, 'the body is too large');
    this.#head = head;
    this.#bodyLength = 0;
    if (head.expectsContinue) this.#sink.onExpectContinue();
    if (head.chunked) {
      this.#state = 'size';
      this.#body = Buffer.allocUnsafe(8_192);
    } else {
      this.#state = 'fixed';
      this.#left = head.contentLength;
      this.#body = Buffer.allocUnsafe(head.contentLength);
      if (this.#left === 0) this.#finish();
    }
  }

  #feedBody(chunk: Buffer, at: number, length: number): number {
    const take = Math.min(this.#left, length - at);
    this.#reserve(take);
    chunk.copy(this.#body, this.#bodyLength, at, at + take);
    this.#bodyLength += take;
    this.#left -= take;
    if (this.#left === 0) {
      if (this.#state === 'fixed') this.#finish();
      else this.#state = 'data-end';
    }
    return at + take;
  }

  #reserve(bytes: number): void {
    const needed = this.#bodyLength + bytes;
    if (needed <= this.#body.length) return;
    if (needed > MAX_BODY_BYTES) throw new BadRequest(413, 'the body is too large');
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#body.length * 2));
    this.#body.copy(grown, 0, 0, this.#bodyLength);
    this.#body = grown;
  }

  /** A line of the chunked framing: a size, the line end after a chunk, a trailer. */
  #feedLine(chunk: Buffer, at: number, length: number): number {
    const end = chunk.indexOf(LF, at);
    if (end < 0 || end >= length) {
      this.#keepLine(Buffer.concat([this.#line, chunk.subarray(at, length)]));
      return length;
    }
    const line = (this.#line.toString('latin1') + chunk.toString('latin1', at, end)).replace(/\r$/, '');
    this.#line = Buffer.alloc(0);
    if (this.#state === 'data-end') {
      if (line !== '') throw new BadRequest(400, 'a chunk is longer than its size');
      this.#state = 'size';
    } else if (this.#state === 'size') {
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line);
      if (size === null) throw new BadRequest(400, 'a chunk size is not hexadecimal');
      this.#left = parseInt(size[1] ?? '', 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (line === '') {
      this.#finish();
    }
    return end + 1;
  }

  #finish(): void {
    const head = this.#head;
    const body = this.#body;
    const length = this.#bodyLength;
    this.#state = 'head';
    this.#head = undefined;
    this.#body = Buffer.alloc(0);
    if (head !== undefined) this.#sink.onRequest(head, body, 0, length);
  }
}

function repeats(raw: Buffer, chunk: Buffer, at: number, length: number): boolean {
  const end = at + raw.length;
  return end <= length && chunk.compare(raw, 0, raw.length, at, end) === 0;
}

/** Index after the blank line, or -1. */
function endOfHead(chunk: Buffer, at: number, length: number): number {
  const end = chunk.indexOf('\r\n\r\n', at, 'latin1');
  return end < 0 || end + 4 > length ? -1 : end + 4;
}

/** Reads the request line and the headers that matter here. Throws BadRequest. */
function parseHead(chunk: Buffer, start: number, end: number): RequestHead {
  let at = start;
  while (at < end && chunk[at] !== SPACE && chunk[at] !== CR) at++;
  const method = chunk.toString('latin1', start, at);
  const targetAt = at + 1;
  at = targetAt;
  while (at < end && chunk[at] !== SPACE && chunk[at] !== CR) at++;
  const target = chunk.toString('latin1', targetAt, at);
  const version = chunk.toString('latin1', at + 1, at + 9);
  if (!/^[A-Z]+$/.test(method) || (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') || chunk[at + 9] !== CR) {
    throw new BadRequest(400, 'malformed request line');
  }
  let keepAlive = version === 'HTTP/1.1';
  let contentLength = 0;
  let chunked = false;
  let expectsContinue = false;
  let authorization = '';
  let xApiKey = '';
  let xMock = '';
  at += 11;
  while (at < end - 2) {
    const lineAt = at;
    let colon = 0;
    for (let byte = chunk[at]; byte !== LF; byte = chunk[++at]) if (byte === COLON && colon === 0) colon = at;
    at++;
    if (colon <= lineAt) throw new BadRequest(400, 'malformed header line');
    // Only names of these lengths are looked at: the rest of the head costs a scan and nothing more.
    switch (colon - lineAt) {
      case 6:
      case 9:
      case 10:
      case 13:
      case 14:
      case 17: {
        const name = chunk.toString('latin1', lineAt, colon).toLowerCase();
        if (name === 'content-length') {
          const text = chunk.toString('latin1', colon + 1, at).trim();
          if (!/^\d{1,12}$/.test(text)) throw new BadRequest(400, 'malformed content-length');
          contentLength = Number(text);
        } else if (name === 'transfer-encoding') chunked = /chunked\s*$/i.test(chunk.toString('latin1', colon + 1, at));
        else if (name === 'authorization') authorization = chunk.toString('latin1', colon + 1, at).trim();
        else if (name === 'x-api-key') xApiKey = chunk.toString('latin1', colon + 1, at).trim();
        else if (name === 'x-mock') xMock = chunk.toString('latin1', colon + 1, at).trim();
        else if (name === 'expect') expectsContinue = /100-continue/i.test(chunk.toString('latin1', colon + 1, at));
        else if (name === 'connection') {
          const text = chunk.toString('latin1', colon + 1, at).toLowerCase();
          keepAlive = text.includes('close') ? false : keepAlive || text.includes('keep-alive');
        }
      }
    }
  }
  const raw = Buffer.from(chunk.subarray(start, end));
  return {
    method,
    target,
    keepAlive,
    contentLength: chunked ? 0 : contentLength,
    chunked,
    expectsContinue,
    authorization,
    xApiKey,
    xMock,
    raw,
  };
}

/** Every header of a head, names in lower case, repeated ones joined by `, `. For records, not for the fast path. */
export function headersOf(head: RequestHead): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of head.raw.toString('latin1').split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}
