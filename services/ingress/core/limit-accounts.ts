import type { Millis } from '../../../shared/clock.ts';
import type { ScopeName } from '../../../shared/scope.ts';

/** Accounts looked at for each new one: more than one, so that they go faster than they come. */
const LOOKS = 2;
/** At the bound: enough that one of them is nearly always full, or near to it. */
const LOOKS_AT_BOUND = 64;

/** A bucket by its one number (shared/gcra.ts). A list, since most accounts have two or three. */
interface Counter {
  readonly name: string;
  /** When it is full again. */
  arrival: Millis;
  /** Which request was charged last: one that meets a counter twice is charged once. */
  chargedBy: number;
  readonly next: Counter | undefined;
}

/** The counters of one subject. */
export class LimitAccount {
  #counters: Counter | undefined;
  /** Its requests that have not ended, of those that a limit on their number held for. */
  underWay = 0;

  /** undefined: full, since nobody has taken of it. */
  counter(name: string): Counter | undefined {
    let counter = this.#counters;
    while (counter !== undefined && counter.name !== name) counter = counter.next;
    return counter;
  }

  openCounter(name: string): Counter {
    return this.counter(name) ?? (this.#counters = { name, arrival: -Infinity, chargedBy: 0, next: this.#counters });
  }

  /** From when on nothing is lost with it. */
  get fullAt(): Millis {
    if (this.underWay > 0) return Infinity;
    let fullAt = -Infinity;
    for (let counter = this.#counters; counter !== undefined; counter = counter.next)
      if (counter.arrival > fullAt) fullAt = counter.arrival;
    return fullAt;
  }
}

/**
 * Accounts by subject, up to a number of subjects. Full ones are forgotten as new ones come, which changes no decision. At
 * the bound, where none that is looked at is full, the one goes that is nearest to it, and that subject starts anew. Those
 * with requests under way stay: beyond the bound there are never more than these.
 */
export class LimitAccounts {
  readonly #maxSubjects: number;
  readonly #accounts = new Map<ScopeName, LimitAccount>();
  /** Goes round: a Map's iterator sees what is added, and survives what is deleted. */
  #hand = this.#accounts.entries();
  #opened = 0;

  constructor(maxSubjects: number) {
    this.#maxSubjects = maxSubjects;
  }

  get size(): number {
    return this.#accounts.size;
  }

  get(subject: ScopeName): LimitAccount | undefined {
    return this.#accounts.get(subject);
  }

  open(subject: ScopeName): LimitAccount {
    const known = this.#accounts.get(subject);
    if (known !== undefined) return known;
    const account = new LimitAccount();
    this.#accounts.set(subject, account);
    this.#opened++;
    return account;
  }

  /** Once what was opened has been charged: a full account may go, also when it was just looked up. */
  tidy(now: Millis): void {
    for (; this.#opened > 0; this.#opened--) this.#forgetSome(now);
  }

  #forgetSome(now: Millis): void {
    const isAtBound = this.#accounts.size > this.#maxSubjects;
    let nearest: ScopeName | undefined;
    let nearestFullAt = Infinity;
    for (let looks = isAtBound ? LOOKS_AT_BOUND : LOOKS; looks > 0; looks--) {
      const { done, value } = this.#hand.next();
      if (done === true) {
        this.#hand = this.#accounts.entries();
        continue;
      }
      const [subject, account] = value;
      const { fullAt } = account;
      if (fullAt <= now) this.#accounts.delete(subject);
      else if (fullAt < nearestFullAt) [nearest, nearestFullAt] = [subject, fullAt];
    }
    if (nearest !== undefined && this.#accounts.size > this.#maxSubjects) this.#accounts.delete(nearest);
  }
}
