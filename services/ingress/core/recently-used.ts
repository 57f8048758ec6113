/** Values by name, up to a number of names: a new one beyond it takes the place of the one used the longest ago. */
export class RecentlyUsed<T> {
  readonly #maxNames: number;
  readonly #entries = new Map<string, { readonly value: T; usedAt: number }>();
  #uses = 0;

  constructor(maxNames: number) {
    this.#maxNames = maxNames;
  }

  get(name: string): T | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    // A number, rather than a new place in the map's order: names are asked for at every request and new ones are rare.
    entry.usedAt = ++this.#uses;
    return entry.value;
  }

  add(name: string, value: T): T {
    if (this.#entries.size >= this.#maxNames) this.#forgetOldest();
    this.#entries.set(name, { value, usedAt: ++this.#uses });
    return value;
  }

  #forgetOldest(): void {
    let oldest: string | undefined;
    let usedAt = Infinity;
    for (const [name, entry] of this.#entries) {
      if (entry.usedAt >= usedAt) continue;
      oldest = name;
      usedAt = entry.usedAt;
    }
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}
