import type { Bus } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { SlotRange } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { AheadRecalled } from '../../shared/messages/slots.ts';
import { AHEAD_FOR_MS } from '../../shared/messages/slots.ts';
import { ingressOfInbox } from '../../shared/subjects.ts';
import type { SlotTable } from './core/slot-table.ts';

/** How long after a grant its ingress may still hold slots of it; then they are back at their workers. */
const HELD_FOR_MS = 4 * AHEAD_FOR_MS;

/**
 * Slots that this router promises to ingresses ahead, so that under light load a request costs no question. It keeps who
 * may hold some only to call them back: as soon as anybody waits, here or at another router, all go to who waits.
 */
export class AheadGrants {
  readonly #bus: Pick<Bus, 'post'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #routerId: string;
  readonly #slots: SlotTable;
  /** By pool: the inboxes that may hold slots, and until when. */
  readonly #holders = new Map<string, Map<string, Millis>>();

  constructor(deps: { bus: Pick<Bus, 'post'>; clock: Pick<Clock, 'now'>; id: string; slots: SlotTable }) {
    this.#bus = deps.bus;
    this.#clock = deps.clock;
    this.#routerId = deps.id;
    this.#slots = deps.slots;
  }

  /** Promises up to `count` slots of the pool to who listens at `inbox`; fewer or none when few are free. */
  grant(pool: string, inbox: string, count: number): SlotRange[] {
    if (count <= 0) return [];
    const ranges = this.#slots.takeAhead(pool, count);
    if (ranges.length === 0) return ranges;
    let holders = this.#holders.get(pool);
    if (holders === undefined) {
      holders = new Map();
      this.#holders.set(pool, holders);
    }
    holders.set(inbox, this.#clock.now() + HELD_FOR_MS);
    return ranges;
  }

  /** Somebody waits for this pool: its slots come back through their workers. A lost message costs `AHEAD_FOR_MS`. */
  recall(pool: string): void {
    const message: AheadRecalled = { v: 1, router: this.#routerId, pool };
    for (const inbox of this.#holders.get(pool)?.keys() ?? []) {
      this.#bus.post(inbox, '', FrameType.recallAhead, 0, 0, JSON.stringify(message));
    }
    this.#holders.delete(pool);
  }

  forgetIngress(ingress: string): void {
    this.#forget((inbox) => ingressOfInbox(inbox) === ingress);
  }

  /** Forgets who gave back what it had. */
  sweep(now: Millis): void {
    this.#forget((_inbox, until) => until <= now);
  }

  #forget(predicate: (inbox: string, until: Millis) => boolean): void {
    for (const [pool, holders] of this.#holders) {
      for (const [inbox, until] of holders) if (predicate(inbox, until)) holders.delete(inbox);
      if (holders.size === 0) this.#holders.delete(pool);
    }
  }
}
