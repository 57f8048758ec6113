/** Exact percentiles over a bounded number of samples. */

/** Milliseconds, four digits after the point; `n` is how many were measured. */
export interface Distribution {
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
  readonly sd: number;
  readonly n: number;
}

/** 64 MB; past this each new sample replaces a random one (Vitter's algorithm R), so percentiles become estimates. */
const MAX_SAMPLES = 8 * 1024 * 1024;

export const round4 = (value: number): number => Math.round(value * 1e4) / 1e4;

export class Samples {
  #values = new Float64Array(1_024);
  #seen = 0;

  add(value: number): void {
    const seen = this.#seen++;
    if (seen < this.#values.length) {
      this.#values[seen] = value;
      return;
    }
    if (this.#values.length < MAX_SAMPLES) {
      const grown = new Float64Array(this.#values.length * 2);
      grown.set(this.#values);
      this.#values = grown;
      this.#values[seen] = value;
      return;
    }
    const place = Math.floor(Math.random() * (seen + 1));
    if (place < MAX_SAMPLES) this.#values[place] = value;
  }

  /** null when there is no sample. The q-quantile is the smallest value with at least q of all at or below it. */
  distribution(): Distribution | null {
    const kept = Math.min(this.#seen, this.#values.length);
    if (kept === 0) return null;
    const sorted = this.#values.slice(0, kept).sort();
    const quantile = (q: number): number => round4(sorted[Math.max(0, Math.ceil(q * kept) - 1)] ?? 0);
    let sum = 0;
    for (const value of sorted) sum += value;
    const mean = sum / kept;
    let squares = 0;
    for (const value of sorted) squares += (value - mean) ** 2;
    return {
      min: quantile(0),
      p50: quantile(0.5),
      p90: quantile(0.9),
      p99: quantile(0.99),
      p999: quantile(0.999),
      max: quantile(1),
      mean: round4(mean),
      sd: round4(Math.sqrt(squares / kept)),
      n: this.#seen,
    };
  }
}
