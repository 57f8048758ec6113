import type { Bus, Subscription } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import { ChurnMap } from '../../shared/churn-map.ts';
import { Placed, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import { AheadRecalled } from '../../shared/messages/slots.ts';
import { inboxWildcard, peerOfInbox } from '../../shared/subjects.ts';
import { aheadOf } from './core/slots-ahead.ts';
import type { Outgoing } from './outgoing.ts';

/** Whose stream it is. */
export interface StreamOwner {
  /** @throws PoisonedMessage */
  onFrame(type: number, sequence: number, payload: Buffer): void;
  /** `onFrame` threw: the stream misses a part. */
  onBrokenFrame(cause: unknown): void;
}

export interface InboxDeps {
  readonly bus: Bus;
  readonly ingressId: string;
  readonly outgoing: Outgoing;
  /** Nobody listens at this worker or router any more. */
  readonly onPeerGone: (peer: string) => void;
  /** A router wants back what it promised ahead. */
  readonly onAheadRecalled: (recalled: AheadRecalled) => void;
}

/**
 * Where all answers of this ingress arrive: one subscription, and a map from stream numbers to requests. Each question
 * to a router opens a new number, so what an abandoned attempt still sends finds nobody and is stopped at its source.
 */
export class Inbox {
  readonly #deps: InboxDeps;
  readonly #streams = new ChurnMap<StreamOwner>();

  constructor(deps: InboxDeps) {
    this.#deps = deps;
  }

  listen(): Subscription {
    const { bus, ingressId, onPeerGone, onAheadRecalled } = this.#deps;
    return bus.onFrames(
      inboxWildcard(ingressId),
      (type, stream, sequence, payload, _reply, subject) => {
        if (type === FrameType.recallAhead) return onAheadRecalled(decode(AheadRecalled, payload));
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
      { onNoResponders: (subject) => onPeerGone(peerOfInbox(subject)) },
    );
  }

  open(owner: StreamOwner): number {
    return this.#streams.add(owner);
  }

  close(stream: number): void {
    this.#streams.delete(stream);
  }

  /** A frame for a request that is over. What it offers is given back, what it brings is stopped. */
  #onOrphan(type: number, stream: number, payload: Buffer, subject: string): void {
    const { outgoing } = this.#deps;
    if (type === FrameType.placed) {
      const placed = decode(Placed, payload);
      const { worker, pool, router, slot } = placed;
      outgoing.giveBack([{ worker, pool, router, from: slot, to: slot }, ...aheadOf(placed)]);
    } else if (type === FrameType.waiting) {
      outgoing.abandon(decode(Waiting, payload).router, stream);
    } else if (type === FrameType.head || type === FrameType.data) {
      outgoing.cancel(peerOfInbox(subject), stream, 'client_closed_request');
    }
  }
}
