import type { BudgetTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { ApplicableLimit } from './limit-terms.ts';

/** What holds for one request, by the scopes it falls in, in their order. */
export interface ScopeRuling {
  /** The kill switch: the first scope (or pattern) that is switched off. */
  readonly blocked?: { readonly scope: ScopeName; readonly reason: string };
  readonly limits: readonly ApplicableLimit[];
  readonly budgets: readonly ApplicableBudget[];
}

/** A budget that a request is charged to. The same object for all requests of a caller, as long as its rules stand. */
export interface ApplicableBudget {
  readonly terms: BudgetTerms;
  /** Whose it is here: never a pattern. */
  readonly subject: ScopeName;
}
