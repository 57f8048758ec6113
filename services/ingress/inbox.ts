import type { Bus, Subscription } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import { Placed, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { UnusedSlot } from '../../shared/messages/task.ts';
import { inboxSubject, inboxWildcard, peerOfInbox, routerSubject, workerSubject } from '../../shared/subjects.ts';

const MAX_STREAM = 0xffff_ffff;

/** Whose stream it is. */
export interface StreamOwner {
  /** @throws PoisonedMessage */
  onFrame(type: number, sequence: number, payload: Buffer): void;
  /** `onFrame` threw: the stream misses a part. */
  onBrokenFrame(cause: unknown): void;
}

/**
 * Where all answers of this ingress arrive: one subscription, and a map from stream numbers to requests. Each question
 * to a router opens a new number, so what an abandoned attempt still sends finds nobody and is stopped at its source.
 */
export class Inbox {
  readonly #bus: Bus;
  readonly #ingressId: string;
  readonly #onPeerGone: (peer: string) => void;
  readonly #streams = new Map<number, StreamOwner>();
  #last = 0;

  /** @param onPeerGone nobody listens at this worker or router any more */
  constructor(bus: Bus, ingressId: string, onPeerGone: (peer: string) => void) {
    this.#bus = bus;
    this.#ingressId = ingressId;
    this.#onPeerGone = onPeerGone;
  }

  listen(): Subscription {
    return this.#bus.onFrames(
      inboxWildcard(this.#ingressId),
      (type, stream, sequence, payload, _reply, subject) => {
        const owner = this.#streams.get(stream);
        if (owner === undefined) return this.#onOrphan(type, stream, payload, subject);
        try {
          owner.onFrame(type, sequence, payload);
        } catch (failure) {
          // Its client must not wait until its deadline; the bus counts and logs the frame.
          owner.onBrokenFrame(failure);
          throw failure;
        }
      },
      { onNoResponders: (subject) => this.#onPeerGone(peerOfInbox(subject)) },
    );
  }

  open(owner: StreamOwner): number {
    do this.#last = this.#last === MAX_STREAM ? 1 : this.#last + 1;
    while (this.#streams.has(this.#last));
    this.#streams.set(this.#last, owner);
    return this.#last;
  }

  close(stream: number): void {
    this.#streams.delete(stream);
  }

  /** A frame for a request that is over. What it offers is given back, what it brings is stopped. */
  #onOrphan(type: number, stream: number, payload: Buffer, subject: string): void {
    if (type === FrameType.placed) {
      const { pool, router, slot, worker } = decode(Placed, payload);
      const unused: UnusedSlot = { v: 1, pool, router, slot };
      this.#bus.post(
        workerSubject(worker),
        inboxSubject(this.#ingressId, worker),
        FrameType.unused,
        0,
        0,
        JSON.stringify(unused),
      );
    } else if (type === FrameType.waiting) {
      const { router } = decode(Waiting, payload);
      this.#bus.post(routerSubject(router), inboxSubject(this.#ingressId, router), FrameType.abandon, stream, 0, '');
    } else if (type === FrameType.head || type === FrameType.data) {
      const worker = peerOfInbox(subject);
      this.#bus.post(
        workerSubject(worker),
        inboxSubject(this.#ingressId, worker),
        FrameType.cancel,
        stream,
        0,
        'client_closed_request',
      );
    }
  }
}
