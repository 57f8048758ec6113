/** Of an answer's text, so much is kept to count its tokens; the rest is taken to be like it. */
const MAX_KEPT_BYTES = 16 * 1024;
const FIRST_BYTES = 512;

/** What a stream has said, for the case that it is left before its provider tells how many tokens that was. */
export class SaidText {
  #kept: Buffer | undefined;
  #length = 0;
  #bytes = 0;

  /** Bytes that were said in all, kept or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The beginning of it, UTF-8; a character at its end may be cut. */
  get text(): Buffer {
    return this.#kept?.subarray(0, this.#length) ?? Buffer.alloc(0);
  }

  /** @param latin1 UTF-8 that was read as Latin-1, as the stream's reader does it */
  add(latin1: string): void {
    this.#bytes += latin1.length;
    if (this.#length >= MAX_KEPT_BYTES) return;
    const needed = Math.min(MAX_KEPT_BYTES, this.#length + latin1.length);
    let kept = this.#kept;
    if (kept === undefined || kept.length < needed) {
      const larger = Buffer.allocUnsafe(Math.min(MAX_KEPT_BYTES, Math.max(FIRST_BYTES, 2 * needed)));
      kept?.copy(larger, 0, 0, this.#length);
      kept = larger;
      this.#kept = larger;
    }
    this.#length += kept.write(latin1, this.#length, 'latin1');
  }
}
