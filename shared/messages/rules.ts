import { z } from 'zod';

/**
 * What holds for a scope: limits, budgets, blocks. The ledger keeps them, ingresses ask for those of the scopes they meet
 * and remember them. Every change of a rule or a key raises the ledger's revision, which beats tell (`LedgerBeat.revision`):
 * an ingress that is behind forgets what it knows, also when the message of the change was lost.
 */

/** A limit's numbers; absent: none of that sort. Cost in nano-dollars. */
export const LimitTerms = z.looseObject({
  requestsPerMinute: z.number().optional(),
  tokensPerMinute: z.number().optional(),
  /** Cost per window of this many milliseconds. */
  cost: z.looseObject({ nanoUsd: z.number(), perMs: z.number() }).optional(),
  /** Requests under way at once. */
  concurrent: z.number().optional(),
  /** Requests at once after a time of silence; absent: as many as come in a minute. */
  burst: z.number().optional(),
});
export type LimitTerms = z.infer<typeof LimitTerms>;

/** At a budget's end: as a route's `on_limit` says. `queue` waits for the window to turn, `forMs` at most. */
export const OnBudgetEnd = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('reject') }),
  z.looseObject({ kind: z.literal('downgrade'), to: z.string() }),
  z.looseObject({ kind: z.literal('queue'), forMs: z.number().optional() }),
]);
export type OnBudgetEnd = z.infer<typeof OnBudgetEnd>;

/** What an ingress must know of a budget; amounts and windows are the ledger's. */
export const BudgetTerms = z.looseObject({
  id: z.string(),
  /** What people call it. */
  name: z.string(),
  /** The scope it is for, or a pattern (`user:*`), which is a budget for each apart. */
  scope: z.string(),
  isHard: z.boolean(),
  onLimit: OnBudgetEnd,
});
export type BudgetTerms = z.infer<typeof BudgetTerms>;

/** A soft budget, maybe of the scope's pattern, has nothing left for the scope that was asked about: its `onLimit` holds. */
export const BudgetOver = z.looseObject({
  budget: z.string(),
  /** When its window turns; absent: until told otherwise. */
  untilEpochMs: z.number().optional(),
});
export type BudgetOver = z.infer<typeof BudgetOver>;

export const ScopeRules = z.looseObject({
  /** The kill switch: why nobody of this scope is served. */
  blocked: z.looseObject({ reason: z.string() }).optional(),
  limits: z.array(LimitTerms),
  budgets: z.array(BudgetTerms),
  /** Only of soft budgets whose `onLimit` is another than `reject`. Absent: none is. */
  over: z.array(BudgetOver).optional(),
});
export type ScopeRules = z.infer<typeof ScopeRules>;

/** ingress → ledger, request: what holds for these scopes (at most 64)? */
export const RulesQuery = z.looseObject({ v: z.literal(1), scopes: z.array(z.string()).max(64) });
export type RulesQuery = z.infer<typeof RulesQuery>;

/**
 * ledger → ingress. A scope that is not named has no rules. `kinds` says for whom there are rules at all: `user` for rules
 * of users by name, `user:*` for those of each user apart; nobody need ask about what is in neither. `standings` says of
 * whom to ask by name all the same: `user` where a soft budget for `user:*` may be over for some of them (`ScopeRules.over`).
 */
export const RulesAnswer = z.looseObject({
  v: z.literal(1),
  revision: z.number(),
  kinds: z.array(z.string()),
  standings: z.array(z.string()).optional(),
  rules: z.record(z.string(), ScopeRules),
});
export type RulesAnswer = z.infer<typeof RulesAnswer>;

/** ledger, CLI → every ingress, core NATS: rules, keys or standings changed up to this revision. A lost message is made up for by the beats. */
export const RulesChanged = z.looseObject({
  v: z.literal(1),
  revision: z.number(),
  /** Forget these scopes, and the keys with these ids; absent: all of them. */
  scopes: z.array(z.string()).optional(),
  keys: z.array(z.string()).optional(),
  /** Ask anew how soft budgets stand for these scopes; their rules are as they were. */
  standings: z.array(z.string()).optional(),
});
export type RulesChanged = z.infer<typeof RulesChanged>;
