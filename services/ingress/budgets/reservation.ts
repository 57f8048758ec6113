import type { Lease } from '../core/holding.ts';
import type { Quote } from '../core/quote.ts';
import { costSeenOf } from '../core/quote.ts';

/** Keeps money of some leases reserved for a while after its attempt has ended. */
export type HoldBack = (leases: readonly Lease[], nanoUsd: number) => void;

/**
 * Money set aside for one attempt, in each of its hard budgets. It ends once, by the first of the calls that end it; what
 * was not spent is free again at once.
 */
export class Reservation {
  readonly quote: Quote;
  /** Wall time of the reservation: it is of the windows of this moment. */
  readonly epochMs: number;
  readonly #leases: readonly Lease[];
  readonly #holdBack: HoldBack;
  #isOpen = true;

  constructor(quote: Quote, leases: readonly Lease[], epochMs: number, holdBack: HoldBack) {
    this.quote = quote;
    this.epochMs = epochMs;
    this.#leases = leases;
    this.#holdBack = holdBack;
    for (const lease of leases) lease.reserved += quote.nanoUsd;
  }

  /** What the ledger moves the attempt's cost in. */
  get leaseIds(): string[] {
    return this.#leases.map(({ id }) => id);
  }

  /** The attempt cost so much; if that is more than was reserved, the rest goes from what is free. */
  settle(costNanoUsd: number): void {
    this.#end(costNanoUsd, 0);
  }

  /**
   * The attempt ended with nobody to tell what it cost. What was seen of it is spent; what it may have cost besides stays
   * reserved until its account must have reached the ledger, and leaves with that.
   */
  settleSeen(costNanoUsd: number, outputTokensSoFar: number): void {
    this.#end(costNanoUsd, Math.max(0, costSeenOf(this.quote, outputTokensSoFar) - costNanoUsd));
  }

  /** No attempt was made. */
  release(): void {
    this.#end(0, 0);
  }

  #end(costNanoUsd: number, unsureNanoUsd: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const lease of this.#leases) {
      lease.reserved -= this.quote.nanoUsd - unsureNanoUsd;
      lease.consumed += costNanoUsd;
    }
    if (unsureNanoUsd > 0 && this.#leases.length > 0) this.#holdBack(this.#leases, unsureNanoUsd);
  }
}
