import type { Millis } from '../../../shared/clock.ts';

/** Messages of a change overtake each other, and beats overtake messages; what is not there by then was lost. */
const LATE_AFTER_MS = 500;
/** A ledger's beat may tell of a moment ago; for as long as this none does unless the database is an earlier one. */
const EARLIER_AFTER_MS = 10_000;
/** Further ahead than this nobody waits for what is between. */
const MAX_EARLY = 1_000;

/**
 * Whether this ingress has heard of every change of keys and rules. Each raises the ledger's revision by one and is told by
 * one message; beats tell the revision, and so give away a message that was lost.
 */
export class RevisionTrack {
  /** Every change up to this one was heard of. undefined: no revision is known. */
  #applied: number | undefined;
  /** Of changes beyond that: heard of before one that they follow. */
  readonly #early = new Set<number>();
  #highest = 0;
  #behindSince: Millis | undefined;
  #earlierSince: Millis | undefined;
  #mayHaveMissed = false;
  #isLost = false;

  /** A change was heard of. */
  onChange(revision: number, now: Millis): void {
    if (this.#applied === undefined) this.#startAt(revision);
    else if (revision > this.#applied) this.#early.add(revision);
    this.#advance(now);
  }

  /** A ledger tells how far keys and rules are. */
  onBeat(revision: number, now: Millis): void {
    if (this.#applied === undefined) this.#startAt(revision);
    else if (revision < this.#applied) this.#onEarlier(revision, now);
    else {
      this.#earlierSince = undefined;
      // What was sent while nothing could be received does not come late.
      if (this.#mayHaveMissed && revision > this.#applied && !this.#early.has(revision)) this.#isLost = true;
      this.#mayHaveMissed = false;
      this.#highest = Math.max(this.#highest, revision);
    }
    this.#advance(now);
  }

  /** Messages may have been missed until now. */
  onGap(): void {
    this.#mayHaveMissed = true;
  }

  /** Whether what is known of keys and rules may be out of date; then it must be forgotten: it counts as up to date from now on. */
  takeLost(now: Millis): boolean {
    const isLate = this.#behindSince !== undefined && now - this.#behindSince >= LATE_AFTER_MS;
    if (!this.#isLost && !isLate) return false;
    this.#isLost = false;
    if (this.#applied !== undefined) this.#applied = Math.max(this.#applied, this.#highest, ...this.#early);
    this.#early.clear();
    this.#behindSince = undefined;
    return true;
  }

  /** What was learned before any revision was known may be older than this one. */
  #startAt(revision: number): void {
    this.#applied = revision;
    this.#highest = revision;
    this.#early.clear();
    this.#isLost = true;
  }

  #onEarlier(revision: number, now: Millis): void {
    this.#earlierSince ??= now;
    if (now - this.#earlierSince < EARLIER_AFTER_MS) return;
    this.#earlierSince = undefined;
    this.#startAt(revision);
  }

  #advance(now: Millis): void {
    let applied = this.#applied ?? 0;
    while (this.#early.delete(applied + 1)) applied++;
    this.#applied = applied;
    this.#highest = Math.max(this.#highest, applied);
    if (this.#early.size > MAX_EARLY) this.#isLost = true;
    const isBehind = this.#early.size > 0 || this.#highest > applied;
    this.#behindSince = isBehind ? (this.#behindSince ?? now) : undefined;
  }
}
