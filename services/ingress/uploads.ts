import type { Bus } from '../../shared/bus.ts';
import { ChurnMap } from '../../shared/churn-map.ts';
import { FrameType } from '../../shared/messages/frame.ts';

/** One part of a body: with its neighbours in a parcel it stays far below the broker's `max_payload`. */
export const PART_BYTES = 240 * 1024;
/** Parts of one body that are on their way without the worker having said that it took them. */
const WINDOW_PARTS = 4;
/** The same for all bodies of this ingress: 16 MB, a quarter of what the broker buffers before it cuts a slow worker off. */
const MAX_PARTS_ON_THE_WAY = 64;

interface Upload {
  readonly to: string;
  readonly reply: string;
  readonly stream: number;
  readonly body: Buffer;
  /** Parts sent and taken; the first went with the `open` frame. */
  sent: number;
  taken: number;
}

/** Bodies that do not fit one message: they follow their task in parts, as fast as the worker takes them. */
export class Uploads {
  readonly #bus: Pick<Bus, 'post'>;
  readonly #live = new ChurnMap<Upload>();
  #onTheWay = 0;

  constructor(bus: Pick<Bus, 'post'>) {
    this.#bus = bus;
  }

  static firstPart(body: Buffer): Buffer {
    return body.length <= PART_BYTES ? body : body.subarray(0, PART_BYTES);
  }

  /** The task with the first part was sent; the rest follows when the worker takes it. */
  begin(to: string, reply: string, stream: number, body: Buffer): void {
    if (body.length <= PART_BYTES) return;
    this.#live.set(stream, { to, reply, stream, body, sent: 1, taken: 0 });
    this.#onTheWay++;
  }

  /** The worker has taken `parts` parts of this stream's body. */
  onTaken(stream: number, parts: number): void {
    const upload = this.#live.get(stream);
    if (upload === undefined || parts <= upload.taken || parts > upload.sent) return;
    this.#onTheWay -= parts - upload.taken;
    upload.taken = parts;
    if (parts * PART_BYTES >= upload.body.length) this.#live.delete(stream);
    for (const waiting of this.#live.values()) this.#sendMore(waiting);
  }

  /** The attempt is over, in whichever way. */
  end(stream: number): void {
    const upload = this.#live.get(stream);
    if (upload === undefined) return;
    this.#live.delete(stream);
    this.#onTheWay -= upload.sent - upload.taken;
    for (const waiting of this.#live.values()) this.#sendMore(waiting);
  }

  /** Nothing goes out before the worker has answered the first part: it may have had no slot for the task. */
  #sendMore(upload: Upload): void {
    while (upload.taken > 0 && upload.sent - upload.taken < WINDOW_PARTS && this.#onTheWay < MAX_PARTS_ON_THE_WAY) {
      const from = upload.sent * PART_BYTES;
      if (from >= upload.body.length) return;
      this.#bus.post(
        upload.to,
        upload.reply,
        FrameType.chunk,
        upload.stream,
        upload.sent,
        '',
        upload.body.subarray(from, from + PART_BYTES),
      );
      upload.sent++;
      this.#onTheWay++;
    }
  }
}
