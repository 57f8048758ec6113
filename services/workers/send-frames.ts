import type { Bus } from '../../shared/bus.ts';
import type { GatewayError } from '../../shared/errors.ts';
import type { AttemptEnd, AttemptFailed, ResponseHead } from '../../shared/messages/attempt.ts';
import { FrameType } from '../../shared/messages/frame.ts';

/** One frame carries at most this much: it must fit, with its parcel's other frames, into one NATS message. */
const MAX_DATA_BYTES = 128 * 1024;

/**
 * The frames of one attempt, numbered, to the ingress that owns the request. Data is sent against credit: once it is
 * used up the provider's socket is paused, so a slow client costs this worker nothing.
 */
export class FrameSender {
  readonly #bus: Bus;
  readonly #inbox: string;
  readonly #stream: number;
  #sequence = 0;
  #creditBytes: number;

  constructor(bus: Bus, inbox: string, stream: number, creditBytes: number) {
    this.#bus = bus;
    this.#inbox = inbox;
    this.#stream = stream;
    this.#creditBytes = creditBytes;
  }

  get hasCredit(): boolean {
    return this.#creditBytes > 0;
  }

  grant(bytes: number): void {
    this.#creditBytes += bytes;
  }

  head(head: ResponseHead): void {
    this.#bus.post(this.#inbox, '', FrameType.head, this.#stream, this.#sequence++, JSON.stringify(head));
  }

  /** A plain answer: head and body in one frame when it fits, else in several. */
  whole(head: ResponseHead, body: readonly Buffer[]): void {
    const joined = body.length === 1 ? (body[0] as Buffer) : Buffer.concat(body);
    this.#bus.post(
      this.#inbox,
      '',
      FrameType.whole,
      this.#stream,
      this.#sequence++,
      `${JSON.stringify(head)}\n`,
      joined,
    );
  }

  /** @param tokensSoFar output tokens up to and with these bytes */
  data(tokensSoFar: number, parts: readonly Buffer[]): void {
    const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    for (let from = 0; from < bytes.length; from += MAX_DATA_BYTES) {
      const slice = bytes.length <= MAX_DATA_BYTES ? bytes : bytes.subarray(from, from + MAX_DATA_BYTES);
      this.#bus.postNumber(this.#inbox, '', FrameType.data, this.#stream, this.#sequence++, tokensSoFar, slice);
      this.#creditBytes -= slice.length;
    }
  }

  end(end: AttemptEnd): void {
    this.#bus.post(this.#inbox, '', FrameType.end, this.#stream, this.#sequence++, JSON.stringify(end));
  }

  /** No attempt was begun. */
  declined(error: GatewayError): void {
    this.#fail({ error: error.toWire(), isDeclined: true });
  }

  /** @param costNanoUsd of what it used until then; null: no price is known */
  failed(error: GatewayError, costNanoUsd: number | null): void {
    this.#fail({ error: error.toWire(), costNanoUsd });
  }

  #fail(message: AttemptFailed): void {
    this.#bus.post(this.#inbox, '', FrameType.failed, this.#stream, this.#sequence++, JSON.stringify(message));
  }
}
