/** Numbers of which quantiles are asked. */
export class Samples {
  #values = new Float64Array(1_024);
  #size = 0;
  #isSorted = true;

  get size(): number {
    return this.#size;
  }

  add(value: number): void {
    if (this.#size === this.#values.length) {
      const larger = new Float64Array(2 * this.#size);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#size++] = value;
    this.#isSorted = false;
  }

  /** The least value that a share `q` (0..1) does not exceed; NaN of none. */
  quantile(q: number): number {
    if (!this.#isSorted) this.#values.subarray(0, this.#size).sort();
    this.#isSorted = true;
    return this.#values[Math.max(0, Math.ceil(q * this.#size) - 1)] ?? NaN;
  }
}

/** Samples by equal parts of time. */
export class Timeline {
  readonly #binMs: number;
  readonly #bins: Samples[] = [];

  constructor(binMs: number) {
    this.#binMs = binMs;
  }

  add(at: number, value: number): void {
    const bin = Math.max(0, Math.floor(at / this.#binMs));
    for (let next = this.#bins.length; next <= bin; next++) this.#bins.push(new Samples());
    this.#bins[bin]!.add(value);
  }

  /** [seconds, quantile] of each part that has some. */
  points(q: number): Point[] {
    return this.#bins.flatMap((bin, i) =>
      bin.size === 0 ? [] : [[(i * this.#binMs) / 1_000, bin.quantile(q)] as const],
    );
  }
}

export type Point = readonly [x: number, y: number];
