import type { Millis } from './clock.ts';
import { ParcelWriter } from './parcel-writer.ts';

/** Past this a parcel leaves at once: half of NATS' default `max_payload`, so that one more frame below it still fits. */
const PARCEL_FULL_BYTES = 256 * 1024;
/** Destinations whose buffers are kept for the next turn; beyond it, buffers are made anew. */
const MAX_KEPT_LANES = 256;
/** When an outbox flushes. */
export interface OutboxTiming {
  now(): Millis;
  /** Runs `flush` once at the end of this turn of the event loop (`setImmediate`). */
  atTurnEnd(flush: () => void): void;
  after(flush: () => void, ms: Millis): void;
}

/** A buffer that grew beyond this for one big frame is not kept. */
const MAX_KEPT_BYTES = 512 * 1024;

/**
 * Frames that may wait leave at most once in this many milliseconds. A lone stream never waits; at thousands of tokens a
 * second dozens of them share a message and a socket write, for a delay that nobody sees.
 */
const PATIENT_EVERY_MS = 1;

interface Destination {
  readonly subject: string;
  readonly reply: string;
  readonly parcel: ParcelWriter;
}

/**
 * Collects the frames that one connection sends in one turn of the event loop, a parcel for each destination, and
 * publishes all parcels in one go: one NATS message per destination and one socket write per turn, instead of one for
 * each frame (docs/performance.md has the effect). Order between frames to one subject is kept.
 */
export class Outbox {
  readonly #publish: (subject: string, reply: string, parcel: Uint8Array) => void;
  readonly #timing: OutboxTiming;
  readonly #destinations = new Map<string, Destination>();
  #dirty: Destination[] = [];
  /** When the next flush comes: at the end of this turn, by a timer, or not at all. */
  #scheduled: 'turn' | 'timer' | 'none' = 'none';
  #flushedAt: Millis = -Infinity;

  constructor(publish: (subject: string, reply: string, parcel: Uint8Array) => void, timing: OutboxTiming) {
    this.#publish = publish;
    this.#timing = timing;
  }

  /** Sends a frame to `subject`, with the payload `head` (UTF-8) and `body`. `reply` is where a "no responders" goes, or ''. */
  post(
    subject: string,
    reply: string,
    type: number,
    stream: number,
    sequence: number,
    head: string,
    body?: Uint8Array,
  ): void {
    const to = this.#open(subject, reply);
    this.#scheduleTurn();
    to.parcel.append(type, stream, sequence, head, body);
    if (to.parcel.length >= PARCEL_FULL_BYTES) this.#sendCopy(to);
  }

  /** As `post`, with the payload u32 `number` and `body`. Such frames (data, credit) may wait for company. */
  postNumber(
    subject: string,
    reply: string,
    type: number,
    stream: number,
    sequence: number,
    number: number,
    body?: Uint8Array,
  ): void {
    const to = this.#open(subject, reply);
    this.#schedulePatiently();
    to.parcel.appendNumber(type, stream, sequence, number, body);
    if (to.parcel.length >= PARCEL_FULL_BYTES) this.#sendCopy(to);
  }

  /** Runs as the turn's last act: the client copies what it was given before the next turn writes into these buffers. */
  readonly flush = (): void => {
    this.#scheduled = 'none';
    this.#flushedAt = this.#timing.now();
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const destination of dirty) this.#send(destination);
  };

  /** Forgets everything unsent: the connection is gone, and who sent it is told by its own means. */
  discard(): void {
    this.#dirty = [];
    this.#destinations.clear();
  }

  #open(subject: string, reply: string): Destination {
    let destination = this.#destinations.get(subject);
    if (destination !== undefined && destination.reply !== reply) {
      this.#sendCopy(destination);
      destination = undefined;
    }
    if (destination === undefined) {
      if (this.#destinations.size >= MAX_KEPT_LANES) this.#forgetIdle();
      destination = { subject, reply, parcel: new ParcelWriter() };
      this.#destinations.set(subject, destination);
    }
    if (destination.parcel.isEmpty) this.#dirty.push(destination);
    return destination;
  }

  #scheduleTurn(): void {
    if (this.#scheduled === 'turn') return;
    this.#scheduled = 'turn';
    this.#timing.atTurnEnd(this.#flushIf);
  }

  #schedulePatiently(): void {
    if (this.#scheduled !== 'none') return;
    const waitMs = this.#flushedAt + PATIENT_EVERY_MS - this.#timing.now();
    if (waitMs <= 0) return this.#scheduleTurn();
    this.#scheduled = 'timer';
    this.#timing.after(this.#flushIf, PATIENT_EVERY_MS);
  }

  /** A timer whose frames left earlier, with an impatient one, finds nothing to do. */
  readonly #flushIf = (): void => {
    if (this.#scheduled !== 'none') this.flush();
  };

  #send(destination: Destination): void {
    const { subject, reply, parcel } = destination;
    if (parcel.isEmpty) return;
    this.#publish(subject, reply, parcel.view());
    parcel.clear();
    if (parcel.capacity > MAX_KEPT_BYTES) this.#destinations.delete(subject);
  }

  /** Sends in the middle of a turn: the client holds the bytes until the turn ends, and this buffer goes on being written. */
  #sendCopy(destination: Destination): void {
    const { subject, reply, parcel } = destination;
    if (parcel.isEmpty) return;
    this.#publish(subject, reply, Buffer.from(parcel.view()));
    parcel.clear();
  }

  #forgetIdle(): void {
    for (const [subject, { parcel }] of this.#destinations) if (parcel.isEmpty) this.#destinations.delete(subject);
  }
}
