import type { Millis } from '../../../shared/clock.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { ScopeRuling } from './scope-ruling.ts';

/** They are put together again in 2 µs. */
const MAX_RULINGS = 20_000;

export interface Remembered {
  readonly ruling: ScopeRuling;
  /** When the oldest part of it was told. */
  readonly at: Millis;
}

/** Where whoever keeps a list of scopes keeps what was found for it: a key of all its names costs more than the rest. */
export interface RulingSlot {
  found?: Remembered;
  /** Since when the memory that it is of was emptied last. */
  era?: object;
}

interface Entry extends Remembered {
  readonly scopes: readonly ScopeName[];
}

/** Rulings by the scopes that they are for, the first that came being the first to go. */
export class RulingMemory {
  readonly #entries = new Map<string, Entry>();
  /** Slots keep this rather than the entries: that of a caller who never comes again would keep all of them. */
  #era = {};

  get(scopes: readonly ScopeName[], slot: RulingSlot): Remembered | undefined {
    if (slot.era === this.#era) return slot.found;
    const entry = this.#entries.get(keyOf(scopes));
    // Names may hold anything that a client says: two lists of scopes can make one key.
    return entry !== undefined && isSame(entry.scopes, scopes) ? this.#keep(slot, entry) : undefined;
  }

  set(scopes: readonly ScopeName[], slot: RulingSlot, { ruling, at }: Remembered): void {
    if (this.#entries.size >= MAX_RULINGS) this.#entries.delete(this.#entries.keys().next().value as string);
    const entry = { scopes, ruling, at };
    this.#entries.set(keyOf(scopes), entry);
    this.#keep(slot, entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#era = {};
  }

  #keep(slot: RulingSlot, entry: Entry): Entry {
    slot.found = entry;
    slot.era = this.#era;
    return entry;
  }
}

function keyOf(scopes: readonly ScopeName[]): string {
  return scopes.join('\n');
}

function isSame(some: readonly ScopeName[], others: readonly ScopeName[]): boolean {
  return some.length === others.length && some.every((scope, index) => scope === others[index]);
}
