import type { Millis } from '../../../shared/clock.ts';
import type { ScopeName } from '../../../shared/scope.ts';

/** The demand of this long is counted together, and that of the window before it: a lease should last for both. */
const DEMAND_WINDOW_MS = 2_000;
/** A budget that has just refused is not asked again for as much by the next request: thousands may come in that time. */
const REFUSED_FOR_MS = 250;
const PREFETCH_AGAIN_MS = 1_000;

/** A slice of one window of a budget, as this ingress holds it. Nano-dollars. */
export interface Lease {
  readonly id: string;
  /** Granted, less what was given back. */
  amount: number;
  /** For attempts that have not come to their end. */
  reserved: number;
  /** What attempts cost that have; their events move as much at the ledger. It may go beyond the amount. */
  consumed: number;
  /** By the clock of this ingress, from the moment of asking on: sooner than the ledger thinks, never later. */
  expiresAt: Millis;
  /** Likewise; Infinity for a budget that never renews. */
  readonly windowEndsAt: Millis;
}

/** Why a budget gave nothing the last time, and what was asked of it. */
export interface LastRefusal<Reason> {
  readonly need: number;
  readonly until: Millis;
  readonly reason: Reason;
}

/** All that an ingress holds of one budget for one subject. A reservation is from one lease: the ledger moves exactly that. */
export class Holding<Reason = unknown> {
  readonly budget: string;
  /** The scope itself, never a pattern. */
  readonly subject: ScopeName;
  readonly leases: Lease[] = [];
  /** A question about it is on its way: settles when it was answered, or was not. */
  asked: Promise<unknown> | undefined;
  /** It was used since somebody looked last: for who must forget one. */
  isUsed = true;
  #refusal: LastRefusal<Reason> | undefined;
  #prefetchFrom: Millis = -Infinity;
  #since: Millis;
  #demand = 0;
  #demandBefore = 0;

  constructor(budget: string, subject: ScopeName, now: Millis) {
    this.budget = budget;
    this.subject = subject;
    this.#since = now;
  }

  /** A lease that covers the amount now. */
  find(amount: number, now: Millis): Lease | undefined {
    for (const lease of this.leases) if (freeOf(lease) >= amount && isLive(lease, now)) return lease;
    return undefined;
  }

  /** What is reserved from its leases now, live or not. */
  get reserved(): number {
    let sum = 0;
    for (const { reserved } of this.leases) sum += reserved;
    return sum;
  }

  free(now: Millis): number {
    let sum = 0;
    for (const lease of this.leases) if (isLive(lease, now)) sum += freeOf(lease);
    return sum;
  }

  add(lease: Lease): void {
    this.leases.push(lease);
  }

  remove(lease: Lease): void {
    const at = this.leases.indexOf(lease);
    if (at >= 0) this.leases.splice(at, 1);
  }

  /** So much was asked of it, whether or not it was there. */
  noteDemand(amount: number, now: Millis): void {
    this.isUsed = true;
    const age = now - this.#since;
    if (age >= DEMAND_WINDOW_MS) {
      this.#demandBefore = age < 2 * DEMAND_WINDOW_MS ? this.#demand : 0;
      this.#demand = 0;
      this.#since = now;
    }
    this.#demand += amount;
  }

  /** What requests reserved of late within a few seconds: what is worth holding. */
  recentDemand(now: Millis): number {
    const age = now - this.#since;
    if (age >= 2 * DEMAND_WINDOW_MS) return 0;
    return age >= DEMAND_WINDOW_MS ? this.#demand : this.#demand + this.#demandBefore;
  }

  /** Less than a quarter of what is worth holding is left, and nobody asks for more yet. */
  isLow(now: Millis): boolean {
    return this.asked === undefined && now >= this.#prefetchFrom && this.free(now) * 4 < this.recentDemand(now);
  }

  /** Why as much as this was refused a moment ago; undefined: it was not. */
  refusalOf(amount: number, now: Millis): Reason | undefined {
    const refusal = this.#refusal;
    return refusal !== undefined && now < refusal.until && amount >= refusal.need ? refusal.reason : undefined;
  }

  refused(need: number, reason: Reason, now: Millis): void {
    this.#refusal = { need, reason, until: now + REFUSED_FOR_MS };
    this.rest(now);
  }

  /** Nothing is asked ahead of need for a while: others are short of it. */
  rest(now: Millis): void {
    this.#prefetchFrom = now + PREFETCH_AGAIN_MS;
  }

  granted(): void {
    this.#refusal = undefined;
  }
}

/** Granted and free; an attempt that cost more than was reserved for it takes from here. */
export function freeOf({ amount, reserved, consumed }: Lease): number {
  return Math.max(0, amount - reserved - consumed);
}

/** Neither expired nor of a window that has ended. */
export function isLive({ expiresAt, windowEndsAt }: Lease, now: Millis): boolean {
  return now < expiresAt && now < windowEndsAt;
}

/** What a lease must still cover when all that is free of it is given back but `spare`. */
export function keepOf(lease: Lease, spare: number): number {
  return Math.min(lease.amount, lease.reserved + lease.consumed + Math.max(0, Math.min(spare, freeOf(lease))));
}
