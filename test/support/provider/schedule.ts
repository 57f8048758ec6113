/**
 * One timer for everything: a wheel of 1 ms slots (Varghese and Lauck 1987, scheme 6). Thousands of streams cost one
 * wake-up per millisecond in which something is due; what is due together runs in one pass.
 */

export interface Due {
  /** Called once, at or after the time asked for. */
  onDue(now: number): void;
}

interface Entry {
  readonly due: Due;
  /** Slot number: whole milliseconds of `performance.now()`, rounded up. */
  readonly slot: number;
  /** Replaced by the no-op on cancel. */
  isCancelled: boolean;
}

/** A handle to cancel with. */
export type Timer = Entry;

/** Slots of the wheel, a power of two; later entries wait in their slot for the wheel to come round again. */
const SLOTS = 4096;

export class Schedule {
  readonly #slots: Entry[][] = Array.from({ length: SLOTS }, () => []);
  /** The next slot to look at. */
  #cursor = Math.floor(performance.now());
  #size = 0;
  #timer: NodeJS.Timeout | undefined;
  #wakesAt = Infinity;

  /** Runs `due` at `atMs` of `performance.now()`, never early. */
  at(atMs: number, due: Due): Timer {
    const slot = Math.max(Math.ceil(atMs), this.#cursor);
    const entry: Entry = { due, slot, isCancelled: false };
    this.#slots[slot & (SLOTS - 1)]?.push(entry);
    this.#size++;
    if (slot < this.#wakesAt) this.#arm(slot);
    return entry;
  }

  cancel(timer: Timer): void {
    timer.isCancelled = true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wakesAt = Infinity;
    for (const slot of this.#slots) slot.length = 0;
    this.#size = 0;
  }

  #arm(slot: number): void {
    clearTimeout(this.#timer);
    this.#wakesAt = slot;
    this.#timer = setTimeout(this.#run, Math.max(1, Math.ceil(slot - performance.now())));
  }

  readonly #run = (): void => {
    this.#timer = undefined;
    this.#wakesAt = -Infinity; // nobody arms while the pass runs
    const now = performance.now();
    const upTo = Math.floor(now);
    this.#cursor = Math.max(this.#cursor, upTo - SLOTS + 1); // after a long silence every slot is looked at once
    // The cursor moves first: what a callback adds for right now lands ahead of it, not in a slot that is done with.
    while (this.#cursor <= upTo) this.#runSlot(this.#cursor++, upTo, now);
    this.#wakesAt = Infinity;
    if (this.#size === 0) return;
    let next = this.#cursor;
    for (const limit = next + SLOTS; next < limit; next++) {
      if ((this.#slots[next & (SLOTS - 1)]?.length ?? 0) > 0) break;
    }
    this.#arm(next);
  };

  #runSlot(index: number, upTo: number, now: number): void {
    const entries = this.#slots[index & (SLOTS - 1)];
    if (entries === undefined || entries.length === 0) return;
    this.#slots[index & (SLOTS - 1)] = [];
    for (const entry of entries) {
      if (entry.isCancelled) {
        this.#size--;
      } else if (entry.slot > upTo) {
        this.#slots[index & (SLOTS - 1)]?.push(entry);
      } else {
        this.#size--;
        entry.due.onDue(now);
      }
    }
  }
}
