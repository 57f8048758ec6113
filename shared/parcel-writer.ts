import { FRAME_HEADER_BYTES, PARCEL_HEADER_BYTES, PARCEL_VERSION } from './messages/frame.ts';

const FIRST_CAPACITY = 4 * 1024;
/** A UTF-8 encoder writes at most this many bytes for one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3;

/** Builds one parcel in a buffer that is reused from turn to turn: one copy of each payload, no allocation in the steady state. */
export class ParcelWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY);
  #length = PARCEL_HEADER_BYTES;

  constructor() {
    this.#bytes[0] = PARCEL_VERSION;
  }

  get isEmpty(): boolean {
    return this.#length === PARCEL_HEADER_BYTES;
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** Appends a frame whose payload is `head` in UTF-8 followed by `body`. */
  append(type: number, stream: number, sequence: number, head: string, body?: Uint8Array): void {
    const bodyLength = body === undefined ? 0 : body.length;
    this.#reserve(FRAME_HEADER_BYTES + head.length * MAX_BYTES_PER_UNIT + bodyLength);
    const at = this.#length;
    let end = at + FRAME_HEADER_BYTES;
    if (head.length > 0) end += this.#bytes.write(head, end);
    if (body !== undefined) {
      this.#bytes.set(body, end);
      end += bodyLength;
    }
    this.#writeHeader(at, end, type, stream, sequence);
  }

  /** Appends a frame whose payload is `number` as u32 followed by `body`. */
  appendNumber(type: number, stream: number, sequence: number, number: number, body?: Uint8Array): void {
    const bodyLength = body === undefined ? 0 : body.length;
    this.#reserve(FRAME_HEADER_BYTES + 4 + bodyLength);
    const at = this.#length;
    let end = this.#bytes.writeUInt32BE(number, at + FRAME_HEADER_BYTES);
    if (body !== undefined) {
      this.#bytes.set(body, end);
      end += bodyLength;
    }
    this.#writeHeader(at, end, type, stream, sequence);
  }

  /** The parcel so far: a view that is valid until the next `append` after `clear`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = PARCEL_HEADER_BYTES;
  }

  #writeHeader(at: number, end: number, type: number, stream: number, sequence: number): void {
    const bytes = this.#bytes;
    bytes.writeUInt32BE(end - at - FRAME_HEADER_BYTES, at);
    bytes[at + 4] = type;
    bytes.writeUInt32BE(stream, at + 5);
    bytes.writeUInt32BE(sequence, at + 9);
    this.#length = end;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
