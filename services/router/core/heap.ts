/**
 * Binary heap (Williams 1964): `top` costs O(1), everything else O(log n) but for `retain`, which is O(n).
 * Whoever uses it may leave dead items in it and take them out when they come to the top, or all at once by `retain`.
 */
export class Heap<T> {
  readonly #isBefore: (a: T, b: T) => boolean;
  #items: T[] = [];

  /** @param isBefore a strict order: whether `a` comes out before `b` */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  top(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = items[above];
      if (parent === undefined || !this.#isBefore(item, parent)) break;
      items[at] = parent;
      at = above;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const top = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last, 0);
    return top;
  }

  /** The item at the top now comes later than it did: it takes its new place. */
  sinkTop(): void {
    const top = this.#items[0];
    if (top !== undefined) this.#sink(top, 0);
  }

  /** Keeps only those that satisfy `isKept`. */
  retain(isKept: (item: T) => boolean): void {
    this.#items = this.#items.filter(isKept);
    for (let at = (this.#items.length >> 1) - 1; at >= 0; at--) {
      const item = this.#items[at];
      if (item !== undefined) this.#sink(item, at);
    }
  }

  #sink(item: T, from: number): void {
    const items = this.#items;
    let at = from;
    for (;;) {
      const left = items[2 * at + 1];
      const right = items[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && this.#isBefore(right, left);
      const child = isRight ? right : left;
      if (!this.#isBefore(child, item)) break;
      items[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    items[at] = item;
  }
}
