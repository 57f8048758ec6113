/**
 * A frame is what services say to each other on hot subjects. A parcel is one NATS message: all frames that one
 * connection sends to one subject in one turn of its event loop.
 *
 *   parcel  = u8 version (1) · frame*
 *   frame   = u32 payload length · u8 type · u32 stream · u32 sequence · payload        (big endian, 13 bytes before the payload)
 *
 * `stream` is the ingress' number for one attempt, scoped by the ingress (the parcel's reply subject names it).
 * `sequence` counts the frames a worker sends for one stream, from 0: a gap means that a message was lost.
 */
export const PARCEL_VERSION = 1;
export const PARCEL_HEADER_BYTES = 1;
export const FRAME_HEADER_BYTES = 13;

export const FrameType = {
  /** ingress → router: `Envelope`. Answered by `placed`, `refused`, or `waiting` and later one of the two. */
  ask: 0x51,
  /** ingress → router: the request of this stream no longer waits. No payload. */
  abandon: 0x71,
  /** router → ingress: `Placed`. */
  placed: 0x50,
  /** router → ingress: `Waiting`. */
  waiting: 0x57,
  /** router → ingress: `Refused`. */
  refused: 0x4e,

  /** worker → router: `SlotsIssued`. */
  slots: 0x53,
  /** router → workers of a pool: `SlotsWanted`. */
  want: 0x77,
  /** worker → router: `SlotsRecalled`. Answered by `returned`. */
  recall: 0x72,
  /** router, ingress → worker: `SlotsReturned`. */
  returned: 0x74,
  /** router → ingress: `AheadRecalled`. Answered to the workers, by `returned`. */
  recallAhead: 0x61,

  /** ingress → worker: `TaskHead`, newline, the request's body (or its first part). */
  open: 0x4f,
  /** ingress → worker: a further part of the body; sequence counts from 1. */
  chunk: 0x43,
  /** worker → ingress: parts of the body taken so far (u32): the window for further ones. */
  taken: 0x41,
  /** ingress → worker: stop. The payload is the code of `ERRORS` that says why. */
  cancel: 0x63,
  /** ingress → worker: u32 more bytes of `data` may be sent. */
  credit: 0x2b,
  /** ingress → worker: nothing but a probe: a worker that is gone answers it with "no responders". No payload. */
  ping: 0x70,

  /** worker → ingress: `ResponseHead`; the first content token is there: from here on no other deployment takes over. */
  head: 0x48,
  /** worker → ingress: u32 output tokens so far, then bytes for the client. */
  data: 0x44,
  /** worker → ingress: `AttemptEnd`. */
  end: 0x45,
  /** worker → ingress: `ResponseHead`, newline, the body: a plain answer in one frame. */
  whole: 0x52,
  /** worker → ingress: `AttemptFailed`. */
  failed: 0x58,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** A message that breaks its contract. It is counted, logged and dropped: it never crashes or loops. */
export class PoisonedMessage extends Error {
  override readonly name = 'PoisonedMessage';
}

/** Called for each frame of a parcel, in order. `payload` is a view into the message: copy what outlives the call. */
export type FrameHandler = (type: number, stream: number, sequence: number, payload: Buffer) => void;

/**
 * Walks the frames of a parcel.
 * @throws PoisonedMessage on an unknown version or a length that does not fit; frames before the fault were delivered.
 */
export function readParcel(parcel: Uint8Array, onFrame: FrameHandler): void {
  const bytes = Buffer.from(parcel.buffer, parcel.byteOffset, parcel.byteLength);
  if (bytes.length === 0 || bytes[0] !== PARCEL_VERSION) throw new PoisonedMessage(`parcel version ${bytes[0]}`);
  let at = PARCEL_HEADER_BYTES;
  while (at < bytes.length) {
    if (at + FRAME_HEADER_BYTES > bytes.length) throw new PoisonedMessage('frame header cut');
    const start = at + FRAME_HEADER_BYTES;
    const end = start + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new PoisonedMessage('frame payload cut');
    onFrame(
      bytes[at + 4] as number,
      bytes.readUInt32BE(at + 5),
      bytes.readUInt32BE(at + 9),
      bytes.subarray(start, end),
    );
    at = end;
  }
}

/**
 * The u32 with which a payload begins.
 * @throws PoisonedMessage when it is shorter than that
 */
export function readNumber(payload: Buffer): number {
  if (payload.length < 4) throw new PoisonedMessage('number cut');
  return payload.readUInt32BE(0);
}

const NEWLINE = 0x0a;

/**
 * Splits `JSON head, newline, body`.
 * @throws PoisonedMessage when there is no newline
 */
export function splitHead(payload: Buffer): { head: Buffer; body: Buffer } {
  const newline = payload.indexOf(NEWLINE);
  if (newline < 0) throw new PoisonedMessage('head without its newline');
  return { head: payload.subarray(0, newline), body: payload.subarray(newline + 1) };
}
