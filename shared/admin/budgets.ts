import { z } from 'zod';
import { Deleted, Duration, Money, Name, ScopeField, Timestamp, VERSIONED } from './fields.ts';
import { changing, listing, reading } from './operation.ts';
import { READERS, TEAM_MANAGERS } from './roles.ts';

/** As `budgets` of the configuration has them. */
const Per = z
  .union([z.enum(['day', 'week', 'month', 'total']), z.strictObject({ rolling: Duration })], {
    error: 'It must be day, week, month, total, or { "rolling": "24h" }.',
  })
  .describe('Days, weeks (from Monday) and months are those of the calendar in `time_zone`.');

const OnLimit = z
  .union(
    [
      z.enum(['reject', 'queue']),
      z.strictObject({ downgrade: z.string().min(1).max(256).describe('A route.') }),
      z.strictObject({ queue: Duration }),
    ],
    { error: 'It must be reject, queue, { "queue": "20s" } or { "downgrade": "a-route" }.' },
  )
  .describe('What becomes of requests at its end. A soft one with `reject` only counts and alerts.');

const AlertAt = z.array(z.int().min(1).max(1_000)).max(16).describe('Percent of the limit.');

export const Budget = z
  .object({
    object: z.literal('budget'),
    id: z.string(),
    name: z.string(),
    scope: z.string(),
    amount: z.string(),
    per: Per,
    time_zone: z.string(),
    hard: z.boolean().describe('Never overshot; a soft one refuses nothing.'),
    on_limit: OnLimit,
    alert_at: AlertAt,
    raise: z.object({ by: z.string(), until: Timestamp }).nullable(),
    configured: z.boolean().describe('Written in the configuration file, and changed only there.'),
    ...VERSIONED,
  })
  .meta({ id: 'Budget' });
export type Budget = z.infer<typeof Budget>;

/** What may be changed: another scope or period is another budget. */
const CHANGEABLE = {
  name: Name.optional(),
  amount: Money.optional(),
  hard: z.boolean().optional(),
  on_limit: OnLimit.optional(),
  alert_at: AlertAt.optional(),
};

export const BudgetChange = z
  .strictObject(CHANGEABLE)
  .meta({ id: 'BudgetChange', examples: [{ amount: '80 USD', alert_at: [50, 90, 100] }] });
export type BudgetChange = z.infer<typeof BudgetChange>;

export const NewBudget = z
  .strictObject({
    ...CHANGEABLE,
    scope: ScopeField,
    amount: Money,
    per: Per,
    time_zone: z.string().max(64).optional().describe('IANA name; absent: UTC.'),
  })
  .meta({
    id: 'NewBudget',
    examples: [
      { scope: 'team:search', amount: '50 USD', per: 'day', time_zone: 'Europe/Berlin' },
      { scope: 'user:*', amount: '1 USD', per: { rolling: '24h' }, on_limit: { downgrade: 'local-chat' } },
    ],
  });
export type NewBudget = z.infer<typeof NewBudget>;

export const BudgetRaise = z
  .strictObject({
    by: Money.describe('Besides its amount; 0 USD ends a raise.'),
    until: Timestamp.optional().describe('In the future; may be absent when a raise ends.'),
  })
  .meta({ id: 'BudgetRaise', examples: [{ by: '25 USD', until: '2026-12-01T00:00:00Z' }] });

export const BudgetState = z
  .object({
    object: z.literal('budget_state'),
    subject: z.string().describe('The scope itself, also of a budget that is for a pattern.'),
    limit: z.string(),
    spent: z.string(),
    reserved: z.string().describe('Held by ingresses for requests under way and to come.'),
    remaining: z.string(),
    excess: z.string().describe('What was spent beyond the limit, knowingly.'),
    since: Timestamp.nullable(),
    renews_at: Timestamp.nullable().describe('null: never.'),
  })
  .meta({ id: 'BudgetState' });
export type BudgetState = z.infer<typeof BudgetState>;

const tag = 'Budgets';
const params = { budget: z.string().max(128).describe('Its id.') };

export const BUDGET_OPERATIONS = {
  listBudgets: listing('/budgets', {
    tag,
    summary: 'List budgets',
    roles: READERS,
    query: { scope: ScopeField.optional() },
    response: Budget,
  }),
  createBudget: changing('POST', '/budgets', {
    tag,
    summary: 'Create a budget',
    roles: TEAM_MANAGERS,
    body: NewBudget,
    response: Budget,
    status: 201,
  }),
  getBudget: reading('/budgets/{budget}', { tag, summary: 'Read a budget', roles: READERS, params, response: Budget }),
  updateBudget: changing('PATCH', '/budgets/{budget}', {
    tag,
    summary: 'Change a budget, and with its amount the windows that are open',
    roles: TEAM_MANAGERS,
    params,
    body: BudgetChange,
    response: Budget,
  }),
  deleteBudget: changing('DELETE', '/budgets/{budget}', {
    tag,
    summary: 'End a budget; what was spent of it stays on the account',
    roles: TEAM_MANAGERS,
    params,
    response: Deleted,
  }),
  raiseBudget: changing('POST', '/budgets/{budget}/raise', {
    tag,
    summary: 'Raise a budget for a time, in place of an earlier raise',
    roles: TEAM_MANAGERS,
    params,
    body: BudgetRaise,
    response: Budget,
  }),
  listBudgetState: listing('/budgets/{budget}/state', {
    tag,
    summary: 'List how the open windows of a budget stand, by subject',
    roles: READERS,
    params,
    query: { subject: ScopeField.optional() },
    response: BudgetState,
  }),
};
