const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const DATA = Buffer.from('data');
const NOTHING = Buffer.alloc(0);

/** The stream holds one event larger than the reader may keep. */
export class EventTooLarge extends Error {
  override readonly name = 'EventTooLarge';
}

/**
 * One event of the stream. `raw` is all its bytes with the blank line that ends it, `data` its payload (data lines
 * joined by LF), empty for an event that has none, such as a comment. Both are views: copy what outlives the call.
 */
export type OnEvent = (raw: Buffer, data: Buffer) => void;

/**
 * Reads server-sent events (WHATWG HTML, 9.2) from bytes cut anywhere. It works on bytes alone, so U+2028, U+0085 and
 * a character cut in two are nothing special; lines end with LF, CRLF or CR; the space after `data:` is optional.
 */
export class SseReader {
  readonly #onEvent: OnEvent;
  readonly #maxEventBytes: number;
  /** The beginning of an event whose end has not come. */
  #partial: Buffer = NOTHING;
  /** Bytes of `#partial` that hold no event's end. */
  #scanned = 0;

  constructor(onEvent: OnEvent, maxEventBytes: number) {
    this.#onEvent = onEvent;
    this.#maxEventBytes = maxEventBytes;
  }

  /** The beginning of an event whose blank line has not come; empty between events. */
  get partial(): Buffer {
    return this.#partial;
  }

  /** @throws EventTooLarge; events before it were delivered */
  push(chunk: Buffer): void {
    const bytes = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    // JSON never holds a bare CR, so nearly every stream takes the cheaper search.
    const endOfEvent = bytes.includes(CR) ? endOfEventWithCarriageReturns : endOfEventWithLineFeeds;
    let start = 0;
    let from = this.#scanned;
    for (;;) {
      const end = endOfEvent(bytes, from);
      if (end < 0) break;
      const raw = bytes.subarray(start, end);
      start = end;
      from = end;
      this.#onEvent(raw, dataOf(raw));
    }
    const rest = bytes.length - start;
    if (rest > this.#maxEventBytes) throw new EventTooLarge(`an event of more than ${this.#maxEventBytes} bytes`);
    // A copy: the chunk belongs to the socket's buffer, which a slow stream must not keep alive.
    this.#partial = rest === 0 ? NOTHING : Buffer.from(bytes.subarray(start));
    // The last three bytes may be the beginning of the blank line.
    this.#scanned = Math.max(0, rest - 3);
  }
}

/** The offset after the first blank line at or after `from`, or -1. */
function endOfEventWithLineFeeds(bytes: Buffer, from: number): number {
  let lf = bytes.indexOf(LF, from);
  while (lf >= 0) {
    if (bytes[lf + 1] === LF) return lf + 2;
    lf = bytes.indexOf(LF, lf + 1);
  }
  return -1;
}

/** The same for lines that end with LF, CRLF or CR. A CR at the very end waits for what follows. */
function endOfEventWithCarriageReturns(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length) {
    const afterLine = endOfLine(bytes, at);
    if (afterLine < 0) {
      at++;
      continue;
    }
    const afterBlank = endOfLine(bytes, afterLine);
    if (afterBlank >= 0) return afterBlank;
    at = afterLine;
  }
  return -1;
}

/** The offset after the line end that begins at `at`, or -1 when none begins there (or a CR is the last byte so far). */
function endOfLine(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === LF) return at + 1;
  if (byte !== CR || at + 1 >= bytes.length) return -1;
  return bytes[at + 1] === LF ? at + 2 : at + 1;
}

/** The payload of an event: one data line is a view, several are joined. */
function dataOf(raw: Buffer): Buffer {
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let at = 0;
  while (at < raw.length) {
    let end = at;
    while (end < raw.length && raw[end] !== LF && raw[end] !== CR) end++;
    const value = dataLine(raw, at, end);
    if (value !== undefined) {
      if (first === undefined) first = value;
      else (more ??= [first]).push(value);
    }
    at = raw[end] === CR && raw[end + 1] === LF ? end + 2 : end + 1;
  }
  if (more === undefined) return first ?? NOTHING;
  return Buffer.concat(more.flatMap((line, index) => (index === 0 ? [line] : [Buffer.of(LF), line])));
}

function dataLine(raw: Buffer, start: number, end: number): Buffer | undefined {
  if (end - start < DATA.length) return undefined;
  for (let i = 0; i < DATA.length; i++) if (raw[start + i] !== DATA[i]) return undefined;
  let at = start + DATA.length;
  if (at === end) return NOTHING;
  if (raw[at] !== COLON) return undefined;
  at++;
  if (raw[at] === SPACE) at++;
  return raw.subarray(at, end);
}
