import type { Clock } from '../../../shared/clock.ts';
import type { Quote } from '../core/quote.ts';
import type { ApplicableBudget } from '../core/scope-ruling.ts';
import type { LeaseBook } from './lease-book.ts';
import { OverBudget } from './lease-book.ts';
import { budgetExceeded } from './over-budget.ts';
import type { Reservation } from './reservation.ts';

/** Pays for the attempts of one request: each has its own reservation, the first one that of the admission. */
export class Cover {
  readonly #book: Pick<LeaseBook, 'reserve' | 'reserveLater'>;
  readonly #clock: Pick<Clock, 'epochMs'>;
  readonly #items: readonly ApplicableBudget[];
  readonly #quote: Quote;
  #first: Reservation | undefined;

  constructor(
    deps: { readonly book: Pick<LeaseBook, 'reserve' | 'reserveLater'>; readonly clock: Pick<Clock, 'epochMs'> },
    items: readonly ApplicableBudget[],
    first: Reservation,
  ) {
    this.#book = deps.book;
    this.#clock = deps.clock;
    this.#items = items;
    this.#quote = first.quote;
    this.#first = first;
  }

  /** For one more attempt, at once. undefined: what is in memory does not cover it. */
  next(): Reservation | undefined {
    const first = this.#first;
    this.#first = undefined;
    return first ?? this.#book.reserve(this.#items, this.#quote);
  }

  /** For one more attempt, as the ledger says. @throws GatewayError(`budget_exceeded`, `ledger_unavailable`) */
  async nextLater(): Promise<Reservation> {
    const outcome = await this.#book.reserveLater(this.#items, this.#quote);
    if (outcome instanceof OverBudget) throw budgetExceeded(outcome, this.#clock.epochMs());
    return outcome;
  }

  /** No further attempt will be made. */
  end(): void {
    this.#first?.release();
    this.#first = undefined;
  }
}
