import type { Millis } from '../../../shared/clock.ts';
import type { Rates } from './limit-terms.ts';

/** No row. */
export const NONE = -1;

/** Of a row: 64 bytes, as much as a processor fetches at once. */
const COLUMNS = 8;
/** Theoretical arrival times, by the column of their rate, and after them the emission intervals that tell whose row it is. */
const INTERVALS = 3;
const UNDER_WAY = 6;
const NEXT = 7;
/** Pages of 256 KiB: to make room is never to copy what there is. */
const PAGE_BITS = 12;
const PAGE_ROWS = 1 << PAGE_BITS;

/**
 * The counters of one subject at one set of rates are a row of numbers; the rows of one subject are a list. Objects in
 * their place took three times the memory, and each look at one waited for it.
 */
export class LimitRows {
  readonly #pages: Float64Array[] = [];
  readonly #free: number[] = [];
  #made = 0;

  /** In use. */
  get size(): number {
    return this.#made - this.#free.length;
  }

  /** Full, with nothing under way. @param next of the same subject, or NONE */
  open({ intervals }: Rates, next: number): number {
    const row = this.#free.pop() ?? this.#made++;
    if (row >> PAGE_BITS === this.#pages.length) this.#pages.push(new Float64Array(PAGE_ROWS * COLUMNS));
    const page = this.#page(row);
    const at = startOf(row);
    for (let column = 0; column < INTERVALS; column++) {
      page[at + column] = -Infinity;
      page[at + INTERVALS + column] = intervals[column] as number;
    }
    page[at + UNDER_WAY] = 0;
    page[at + NEXT] = next;
    return row;
  }

  close(row: number): void {
    this.#free.push(row);
  }

  /** From `row` on, the one of these rates; NONE: there is none. */
  find(row: number, { intervals }: Rates): number {
    for (let found = row; found !== NONE; found = this.next(found)) {
      const page = this.#page(found);
      const at = startOf(found) + INTERVALS;
      if (page[at] === intervals[0] && page[at + 1] === intervals[1] && page[at + 2] === intervals[2]) return found;
    }
    return NONE;
  }

  next(row: number): number {
    return this.#page(row)[startOf(row) + NEXT] as number;
  }

  arrival(row: number, column: number): Millis {
    return this.#page(row)[startOf(row) + column] as number;
  }

  setArrival(row: number, column: number, arrival: Millis): void {
    this.#page(row)[startOf(row) + column] = arrival;
  }

  underWay(row: number): number {
    return this.#page(row)[startOf(row) + UNDER_WAY] as number;
  }

  addUnderWay(row: number, requests: 1 | -1): void {
    this.#page(row)[startOf(row) + UNDER_WAY] = this.underWay(row) + requests;
  }

  /** From when on nothing is lost with the row; Infinity while requests are under way. */
  fullAt(row: number): Millis {
    if (this.underWay(row) > 0) return Infinity;
    return Math.max(this.arrival(row, 0), this.arrival(row, 1), this.arrival(row, 2));
  }

  #page(row: number): Float64Array {
    return this.#pages[row >> PAGE_BITS] as Float64Array;
  }
}

/** Within its page. */
function startOf(row: number): number {
  return (row & (PAGE_ROWS - 1)) * COLUMNS;
}
