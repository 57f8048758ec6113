/** The framed event of one stamped token (`ts=1`) as bytes, into which number and time are written: no garbage per token. */

/** Microseconds of Unix time have 16 digits until the year 2286. */
const TIME_DIGITS = 16;

function writeDecimal(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
    bytes[place] = 48 + rest - tenth * 10;
    rest = tenth;
  }
}

export class StampedToken {
  readonly bytes: Buffer;
  /** The first token number with more digits than this one has. */
  readonly until: number;
  readonly #seqAt: number;
  readonly #digits: number;

  /** `framed` is the event of token `seq`, with its `@seq:time@`. */
  constructor(framed: string, seq: number) {
    this.bytes = Buffer.from(framed, 'latin1');
    this.#digits = String(seq).length;
    this.#seqAt = framed.indexOf(`@${seq}:`) + 1;
    this.until = 10 ** this.#digits;
  }

  /** Makes the bytes those of another token with as many digits; `nowMs` is Unix milliseconds. */
  set(seq: number, nowMs: number): void {
    writeDecimal(this.bytes, this.#seqAt, this.#digits, seq);
    writeDecimal(this.bytes, this.#seqAt + this.#digits + 1, TIME_DIGITS, Math.round(nowMs * 1000));
  }
}
