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
  /** What it was found in. */
  by?: object;
}

interface Entry extends Remembered {
  readonly scopes: readonly ScopeName[];
}

/** Rulings by the scopes that they are for, the first that came being the first to go. */
export class RulingMemory {
  #entries = new Map<string, Entry>();

  get(scopes: readonly ScopeName[], slot: RulingSlot): Remembered | undefined {
    if (slot.by === this.#entries) return slot.found;
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
    // Another one, by which slots see that theirs is gone.
    this.#entries = new Map();
  }

  #keep(slot: RulingSlot, entry: Entry): Entry {
    slot.found = entry;
    slot.by = this.#entries;
    return entry;
  }
}

function keyOf(scopes: readonly ScopeName[]): string {
  return scopes.join('\n');
}

function isSame(some: readonly ScopeName[], others: readonly ScopeName[]): boolean {
  return some.length === others.length && some.every((scope, index) => scope === others[index]);
}
