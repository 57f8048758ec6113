/** Of one stream; a longer one cannot be continued. */
const MAX_STREAM_BYTES = 1024 * 1024;
const FIRST_BYTES = 16 * 1024;

/** What all transcripts of an ingress may hold together; a stream that finds no room in it cannot be continued. */
export class TranscriptRoom {
  #leftBytes: number;

  constructor(bytes: number) {
    this.#leftBytes = bytes;
  }

  take(bytes: number): boolean {
    if (bytes > this.#leftBytes) return false;
    this.#leftBytes -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

/** The bytes of one stream that its client was sent, for another deployment to go on from. */
export class Transcript {
  readonly #room: TranscriptRoom;
  #bytes: Buffer | undefined;
  #length = 0;

  constructor(room: TranscriptRoom) {
    this.#room = room;
    this.#bytes = room.take(FIRST_BYTES) ? Buffer.allocUnsafeSlow(FIRST_BYTES) : undefined;
  }

  add(bytes: Buffer): void {
    const length = this.#length + bytes.length;
    if (this.#bytes !== undefined && length > this.#bytes.length) this.#grow(length);
    if (this.#bytes === undefined) return;
    bytes.copy(this.#bytes, this.#length);
    this.#length = length;
  }

  /** undefined: there was too much of it. */
  get bytes(): Buffer | undefined {
    return this.#bytes?.subarray(0, this.#length);
  }

  /** Its room is free again; nothing is kept from here on. */
  end(): void {
    this.#room.giveBack(this.#bytes?.length ?? 0);
    this.#bytes = undefined;
  }

  #grow(length: number): void {
    const before = this.#bytes as Buffer;
    let size = before.length;
    while (size < length) size *= 2;
    if (size > MAX_STREAM_BYTES || !this.#room.take(size - before.length)) return this.end();
    this.#bytes = Buffer.allocUnsafeSlow(size);
    before.copy(this.#bytes, 0, 0, this.#length);
  }
}
