/** An HTTP/1.1 response parser that keeps nothing it does not need: status, framing, and the body's bytes as they come. */

export interface ResponseSink {
  /** Body bytes; valid only during the call. */
  onBody(buffer: Buffer, from: number, to: number): void;
  /** The answer is complete. */
  onComplete(): void;
}

const LF = 10;
/** Past this a head is not HTTP. */
const MAX_HEAD_BYTES = 65_536;

type State = 'head' | 'fixed' | 'size' | 'data' | 'data-end' | 'trailer' | 'until-close' | 'complete';

export class ResponseParser {
  readonly #sink: ResponseSink;
  #state: State = 'complete';
  #head: Buffer = Buffer.alloc(0);
  #left = 0;
  #line = '';
  /** 0 until the head is complete. */
  status = 0;
  /** The server closes, or the body ends with the connection. */
  isClosing = false;
  /** The last head and its framing: servers repeat themselves. */
  #lastHead: Buffer = Buffer.alloc(0);
  #lastStatus = 0;
  #lastLength = -1;
  #lastChunked = false;
  #lastClosing = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Ready for the answer of the next request. */
  start(): void {
    this.#state = 'head';
    this.#head = Buffer.alloc(0);
    this.#line = '';
    this.status = 0;
    this.isClosing = false;
  }

  get isInBody(): boolean {
    return this.#state !== 'head';
  }

  /** The connection ended; true when that is how the body ends. */
  endOfInput(): boolean {
    return this.#state === 'until-close';
  }

  /** Takes `buffer[0, length)`; the buffer may be reused afterwards. Throws when it is not HTTP. */
  feed(buffer: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      switch (this.#state) {
        case 'head':
          at = this.#feedHead(buffer, at, length);
          break;
        case 'until-close':
          this.#sink.onBody(buffer, at, length);
          return;
        case 'fixed':
        case 'data': {
          const to = Math.min(length, at + this.#left);
          this.#sink.onBody(buffer, at, to);
          this.#left -= to - at;
          at = to;
          if (this.#left > 0) break;
          if (this.#state === 'fixed') this.#complete();
          else this.#state = 'data-end';
          break;
        }
        case 'size':
        case 'data-end':
        case 'trailer':
          at = this.#feedLine(buffer, at, length);
          break;
        case 'complete':
          throw new Error('bytes after the answer');
      }
    }
  }

  #complete(): void {
    this.#state = 'complete';
    this.#sink.onComplete();
  }

  #feedHead(buffer: Buffer, at: number, length: number): number {
    const last = this.#lastHead;
    if (this.#head.length === 0 && last.length > 0 && at + last.length <= length) {
      if (buffer.compare(last, 0, last.length, at, at + last.length) === 0) {
        this.#begin();
        return at + last.length;
      }
    }
    const before = this.#head.length;
    const joined = before === 0 ? buffer : Buffer.concat([this.#head, buffer.subarray(at, length)]);
    const from = before === 0 ? at : 0;
    const end = joined.indexOf('\r\n\r\n', from, 'latin1') + 4;
    if (end === 3 || end > (before === 0 ? length : joined.length)) {
      this.#head = before === 0 ? Buffer.from(buffer.subarray(at, length)) : joined;
      if (this.#head.length > MAX_HEAD_BYTES) throw new Error('the head is too large');
      const first = this.#head.toString('latin1', 0, 5);
      if (!'HTTP/'.startsWith(first)) throw new Error(`not an HTTP answer: ${JSON.stringify(first)}`);
      return length;
    }
    this.#parseHead(joined, from, end);
    this.#head = Buffer.alloc(0);
    const consumed = at + (end - from) - before;
    if (this.#lastStatus === 100) this.#lastHead = Buffer.alloc(0);
    else this.#begin();
    return consumed;
  }

  #parseHead(buffer: Buffer, from: number, end: number): void {
    const text = buffer.toString('latin1', from, end);
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(text);
    if (status === null) throw new Error(`not an HTTP answer: ${JSON.stringify(text.slice(0, 60))}`);
    const length = /\r\ncontent-length: *(\d+)/i.exec(text);
    this.#lastHead = Buffer.from(buffer.subarray(from, end));
    this.#lastStatus = Number(status[1]);
    this.#lastLength = length === null ? -1 : Number(length[1]);
    this.#lastChunked = /\r\ntransfer-encoding:[^\r]*chunked/i.test(text);
    this.#lastClosing = /\r\nconnection:[^\r]*close/i.test(text);
  }

  #begin(): void {
    this.status = this.#lastStatus;
    this.isClosing = this.#lastClosing;
    if (this.#lastChunked) {
      this.#state = 'size';
    } else if (this.#lastLength >= 0 || this.status === 204 || this.status === 304) {
      this.#state = 'fixed';
      this.#left = Math.max(0, this.#lastLength);
      if (this.#left === 0) this.#complete();
    } else {
      this.#state = 'until-close';
      this.isClosing = true;
    }
  }

  #feedLine(buffer: Buffer, at: number, length: number): number {
    // The usual case without a string: hexadecimal digits, CR, LF, all here.
    if (this.#state === 'size' && this.#line === '') {
      let size = 0;
      let here = at;
      for (; here < length; here++) {
        const digit = HEX_VALUES[buffer[here] ?? 0] ?? 255;
        if (digit === 255) break;
        size = size * 16 + digit;
      }
      if (here > at && here + 1 < length && buffer[here] === 13 && buffer[here + 1] === LF) {
        this.#sized(size);
        return here + 2;
      }
    }
    if (this.#state === 'data-end' && this.#line === '' && at + 1 < length && buffer[at + 1] === LF) {
      this.#state = 'size';
      return at + 2;
    }
    const end = buffer.indexOf(LF, at);
    if (end < 0 || end >= length) {
      this.#line += buffer.toString('latin1', at, length);
      return length;
    }
    const line = (this.#line + buffer.toString('latin1', at, end)).trim();
    this.#line = '';
    if (this.#state === 'data-end') this.#state = 'size';
    else if (this.#state === 'trailer') {
      if (line === '') this.#complete();
    } else {
      const size = parseInt(line, 16);
      if (!(size >= 0)) throw new Error(`not a chunk size: ${line.slice(0, 20)}`);
      this.#sized(size);
    }
    return end + 1;
  }

  #sized(size: number): void {
    this.#left = size;
    this.#state = size === 0 ? 'trailer' : 'data';
  }
}

/** Value of a hexadecimal digit by its byte; 255: not a digit. */
const HEX_VALUES: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? 255 : value;
});
