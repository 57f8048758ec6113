import type { Millis } from '../../../shared/clock.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { LimitRows, NONE } from './limit-rows.ts';
import type { Rates } from './limit-terms.ts';

/** Subjects looked at for each new row: more than one, so that they go faster than they come. */
const LOOKS = 2;
/** At the bound: enough that one of them is nearly always full, or near to it. */
const LOOKS_AT_BOUND = 64;
/** A Map of a million names stops everything for 50 ms when it grows; each of these has a few thousand. */
const SHARDS = 128;

/**
 * Rows of counters by subject, up to a number of rows. Full ones are forgotten as new ones come, which changes no
 * decision. At the bound, where nobody who is looked at is full, the subject goes that is nearest to it, and starts anew.
 * Those with requests under way stay: beyond the bound there are never more than these.
 */
export class LimitAccounts {
  readonly rows = new LimitRows();
  readonly #maxRows: number;
  /** Subject → the first of its rows. */
  readonly #shards = Array.from({ length: SHARDS }, () => new Map<ScopeName, number>());
  /** Goes round: a Map's iterator sees what is added, and survives what is deleted. */
  #hand: MapIterator<readonly [ScopeName, number]> = this.#shard(0).entries();
  #handAt = 0;
  #opened = 0;

  constructor(maxRows: number) {
    this.#maxRows = maxRows;
  }

  /** NONE: full, since nobody has taken of it. */
  find(subject: ScopeName, rates: Rates): number {
    const first = this.#shardOf(subject).get(subject);
    return first === undefined ? NONE : this.rows.find(first, rates);
  }

  open(subject: ScopeName, rates: Rates): number {
    const shard = this.#shardOf(subject);
    const first = shard.get(subject) ?? NONE;
    const known = this.rows.find(first, rates);
    if (known !== NONE) return known;
    const row = this.rows.open(rates, first);
    shard.set(subject, row);
    this.#opened++;
    return row;
  }

  /** Once what was opened has been charged: a full row may go, also when it was just looked up. */
  tidy(now: Millis): void {
    for (; this.#opened > 0; this.#opened--) this.#forgetSome(now);
  }

  #forgetSome(now: Millis): void {
    let nearest: ScopeName | undefined;
    let nearestFullAt = Infinity;
    for (let looks = this.#isBeyondBound ? LOOKS_AT_BOUND : LOOKS; looks > 0; looks--) {
      const looked = this.#next();
      if (looked === undefined) break;
      const [subject, row] = looked;
      const fullAt = this.#fullAt(row);
      if (fullAt <= now) this.#forget(subject);
      else if (fullAt < nearestFullAt) [nearest, nearestFullAt] = [subject, fullAt];
    }
    if (nearest !== undefined && this.#isBeyondBound) this.#forget(nearest);
  }

  get #isBeyondBound(): boolean {
    return this.rows.size > this.#maxRows;
  }

  /** undefined: nobody is left. */
  #next(): readonly [ScopeName, number] | undefined {
    for (let turns = 0; turns <= SHARDS; turns++) {
      const { done, value } = this.#hand.next();
      if (done !== true) return value;
      this.#handAt = (this.#handAt + 1) % SHARDS;
      this.#hand = this.#shard(this.#handAt).entries();
    }
    return undefined;
  }

  #fullAt(first: number): Millis {
    let fullAt = -Infinity;
    for (let row = first; row !== NONE; row = this.rows.next(row)) fullAt = Math.max(fullAt, this.rows.fullAt(row));
    return fullAt;
  }

  #forget(subject: ScopeName): void {
    const shard = this.#shardOf(subject);
    let row = shard.get(subject) ?? NONE;
    shard.delete(subject);
    while (row !== NONE) {
      const next = this.rows.next(row);
      this.rows.close(row);
      row = next;
    }
  }

  /** By its last characters, which differ most. */
  #shardOf(subject: ScopeName): Map<ScopeName, number> {
    const { length } = subject;
    const mixed =
      31 * subject.charCodeAt(length - 1) + 7 * subject.charCodeAt(length - 2) + subject.charCodeAt(length - 3);
    return this.#shard(mixed % SHARDS);
  }

  #shard(at: number): Map<ScopeName, number> {
    return this.#shards[at] as Map<ScopeName, number>;
  }
}
