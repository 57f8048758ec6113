import type { Millis } from '../../../shared/clock.ts';
import type { BudgetTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { ApplicableLimit } from './limit-terms.ts';

/** What holds for one request, by the scopes it falls in, in their order. */
export interface ScopeRuling {
  /** The kill switch: the first scope (or pattern) that is switched off. */
  readonly blocked?: { readonly scope: ScopeName; readonly reason: string };
  readonly limits: readonly ApplicableLimit[];
  readonly budgets: readonly ApplicableBudget[];
  /** Of these the soft ones that are spent and say what becomes of requests then. Absent: none is. */
  readonly over?: readonly SpentBudget[];
}

/** A budget that a request is charged to. The same object for all requests of a caller, as long as its rules stand. */
export interface ApplicableBudget {
  readonly terms: BudgetTerms;
  /** Whose it is here: never a pattern. */
  readonly subject: ScopeName;
}

/** A soft budget that has nothing left. */
export interface SpentBudget {
  readonly item: ApplicableBudget;
  /** When its window turns; Infinity: until the ledger says otherwise. */
  readonly untilEpochMs: Millis;
}
