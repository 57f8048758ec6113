/** Array indices: V8 keeps them in a table of numbers; the names of the wire have room for them (u32). */
const LAST_NUMBER = 0xffff_fffe;

/**
 * A map by number for what comes and goes with every request: a request's state, its streams, its calls.
 *
 * `Map` and `Set` are not for that. In V8 a table that is outgrown or emptied by deletions is replaced, and the old one goes on
 * pointing at the new one, for iterators, and at all it held. Once one of them has reached the old generation, each later
 * table and each entry is kept until the next full collection, long after its deletion: every request then lives through
 * the young collections, with its headers and buffers. Measured (docs/performance.md): 12.7 KB of each request were promoted,
 * with this 2.7 KB are. An object's table of elements is replaced without such a link.
 */
export class ChurnMap<V extends NonNullable<unknown>> {
  readonly #entries = Object.create(null) as Record<number, V>;
  #size = 0;
  #last = 0;

  get size(): number {
    return this.#size;
  }

  /** Under the next free number, from 1; they begin anew after 2^32. @returns the number */
  add(value: V): number {
    do this.#last = this.#last === LAST_NUMBER ? 1 : this.#last + 1;
    while (this.#entries[this.#last] !== undefined);
    this.#entries[this.#last] = value;
    this.#size++;
    return this.#last;
  }

  get(number: number): V | undefined {
    return this.#entries[number];
  }

  /** Under a number that somebody else gave. */
  set(number: number, value: V): void {
    if (this.#entries[number] === undefined) this.#size++;
    this.#entries[number] = value;
  }

  /** @returns whether it was there */
  delete(number: number): boolean {
    if (this.#entries[number] === undefined) return false;
    delete this.#entries[number];
    this.#size--;
    return true;
  }

  /** A copy, lowest number first: entries may come and go while it is walked. */
  values(): V[] {
    // A table that was large once is walked whole.
    return this.#size === 0 ? [] : Object.values(this.#entries);
  }

  /** The value with the lowest number: of those that were added, the oldest. */
  first(): V | undefined {
    for (const number in this.#entries) return this.#entries[number];
    return undefined;
  }
}
