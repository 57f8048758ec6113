import type {
  Budget,
  BUDGET_OPERATIONS,
  BudgetChange as ChangeAsked,
  BudgetState as StateShown,
  NewBudget as BudgetAsked,
} from '../../../shared/admin/budgets.ts';
import { formatDuration, parseDuration } from '../../../shared/config/duration.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { OnBudgetEnd } from '../../../shared/messages/rules.ts';
import { formatAmount, parseUsd } from '../../../shared/money.ts';
import type { BudgetState } from '../budgets/state.ts';
import { budgetState } from '../budgets/state.ts';
import type { BudgetChange, BudgetRecord, NewBudget } from '../budgets/store.ts';
import { createBudget, getBudget, listBudgets, raiseBudget, removeBudget, updateBudget } from '../budgets/store.ts';
import type { Reach } from '../core/reach.ts';
import type { Database } from '../database/schema.ts';
import { found } from './found.ts';
import type { Call, Handlers } from './handler.ts';
import { InvalidFields } from './invalid-fields.ts';
import { pageOf, readCursor } from './page.ts';
import { pageWithin, refuseForeignScope, scopesWithin } from './scope-reach.ts';

export const BUDGET_HANDLERS: Handlers<typeof BUDGET_OPERATIONS> = {
  listBudgets: async (db, { query: { limit, after, scope }, reach }) => {
    const body = await pageWithin(
      db,
      reach,
      { limit, after: readCursor(after) },
      {
        fetch: (page) => listBudgets(db, { scope, ...page }),
        scopeOf: (budget) => budget.scope,
        keyOf: ({ id }) => id,
        show: budgetOf,
      },
    );
    return { body };
  },
  createBudget: async (transaction, { body, reach }) => {
    await refuseForeignScope(transaction, reach, body.scope);
    return changed(null, await told(() => createBudget(transaction, newBudgetOf(body))));
  },
  getBudget: async (db, { params, reach }) => {
    const budget = await reachedBudget(db, params.budget, reach);
    return { body: budgetOf(budget), version: BigInt(budget.version) };
  },
  updateBudget: async (transaction, call) => {
    const before = await changeable(transaction, call);
    return changed(before, await told(() => updateBudget(transaction, before.id, changeOf(call.body))));
  },
  deleteBudget: async (transaction, call) => {
    const before = await changeable(transaction, call);
    await removeBudget(transaction, before.id);
    const body = { object: 'budget', id: before.id, deleted: true as const };
    return { ...aboutBudget(before), body, before: budgetOf(before), after: null };
  },
  raiseBudget: async (transaction, call) => {
    const { by, until } = call.body;
    const byNanoUsd = nanoOf(by);
    if (byNanoUsd > 0 && until === undefined) throw new InvalidFields([{ param: 'until', message: 'It is missing.' }]);
    const before = await changeable(transaction, call);
    const raise = { byNanoUsd, untilEpochMs: until === undefined ? call.now.getTime() : Date.parse(until) };
    return changed(before, await told(() => raiseBudget(transaction, before.id, raise)));
  },
  listBudgetState: async (db, { params, query: { limit, after, subject }, reach }) => {
    const budget = await reachedBudget(db, params.budget, reach);
    const states = await budgetState(db, budget.id, { subject, after: readCursor(after), limit: limit + 1 });
    return { body: pageOf(states, limit, stateOf, (state) => state.subject) };
  },
};

type BudgetCall = Pick<Call, 'reach' | 'expects'> & { readonly params: { readonly budget: string } };

/** One of another team is not told from one that there is not. @throws GatewayError(`not_found`) */
async function reachedBudget(db: Database, id: string, reach: Reach): Promise<BudgetRecord> {
  const budget = await getBudget(db, id);
  const within = await scopesWithin(db, reach, [budget.scope]);
  return found('budget', id, within.has(budget.scope) ? budget : undefined);
}

async function changeable(db: Database, { params, reach, expects }: BudgetCall): Promise<BudgetRecord> {
  const budget = await reachedBudget(db, params.budget, reach);
  expects(BigInt(budget.version));
  return budget;
}

function changed(before: BudgetRecord | null, after: BudgetRecord) {
  const body = budgetOf(after);
  return {
    ...aboutBudget(after),
    ...{ body, version: BigInt(after.version), before: before && budgetOf(before), after: body },
  };
}

function aboutBudget({ id, scope }: BudgetRecord) {
  return { entity: 'budget', entityId: id, about: { scopes: [scope] } };
}

/** The ledger's names of fields → those of this API. */
const FIELDS: Readonly<Record<string, string>> = {
  amountNanoUsd: 'amount',
  rollingMs: 'per',
  timeZone: 'time_zone',
  isHard: 'hard',
  onLimit: 'on_limit',
  alertAt: 'alert_at',
  byNanoUsd: 'by',
  untilEpochMs: 'until',
};

/** Runs `work`; a fault is told by the name that the field has here. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const param = cause instanceof GatewayError && cause.param !== undefined ? FIELDS[cause.param] : undefined;
    if (!(cause instanceof GatewayError) || param === undefined) throw cause;
    const message = cause.message.replace(`\`${cause.param}\``, `\`${param}\``);
    throw new GatewayError(cause.code, message, { param, cause });
  }
}

function newBudgetOf({ scope, per, time_zone: timeZone, ...rest }: BudgetAsked): NewBudget {
  const isRolling = typeof per === 'object';
  return {
    ...changeOf(rest),
    scope,
    amountNanoUsd: nanoOf(rest.amount),
    per: isRolling ? 'rolling' : per,
    rollingMs: isRolling ? parseDuration(per.rolling) : null,
    timeZone,
  };
}

function changeOf({ name, amount, hard, on_limit: onLimit, alert_at: alertAt }: ChangeAsked): BudgetChange {
  return {
    name,
    isHard: hard,
    alertAt,
    ...(amount !== undefined && { amountNanoUsd: nanoOf(amount) }),
    ...(onLimit !== undefined && { onLimit: readOnLimit(onLimit) }),
  };
}

function readOnLimit(said: NonNullable<ChangeAsked['on_limit']>): OnBudgetEnd {
  if (typeof said === 'string') return { kind: said };
  return 'downgrade' in said
    ? { kind: 'downgrade', to: said.downgrade }
    : { kind: 'queue', forMs: parseDuration(said.queue) };
}

function onLimitOf(end: OnBudgetEnd): Budget['on_limit'] {
  if (end.kind === 'downgrade') return { downgrade: end.to };
  if (end.kind === 'reject' || end.forMs === undefined) return end.kind;
  return { queue: formatDuration(end.forMs) };
}

/** Checked by the schema: below 2^53. */
function nanoOf(amount: string): number {
  return Number(parseUsd(amount));
}

function budgetOf(budget: BudgetRecord): Budget {
  const { raisedByNanoUsd: by, raisedUntilEpochMs: until } = budget;
  return {
    object: 'budget',
    id: budget.id,
    name: budget.name,
    scope: budget.scope,
    amount: formatAmount(budget.amountNanoUsd),
    per: budget.per === 'rolling' ? { rolling: formatDuration(budget.rollingMs ?? 0) } : budget.per,
    time_zone: budget.timeZone,
    hard: budget.isHard,
    on_limit: onLimitOf(budget.onLimit),
    alert_at: [...budget.alertAt],
    raise: until === null ? null : { by: formatAmount(by), until: new Date(until).toISOString() },
    configured: budget.isConfigured,
    version: budget.version,
    created_at: new Date(budget.createdEpochMs).toISOString(),
    updated_at: new Date(budget.updatedEpochMs).toISOString(),
  };
}

function stateOf(state: BudgetState): StateShown {
  const { limitNanoUsd: limit, spentNanoUsd: spent, leasedNanoUsd: leased } = state;
  const left = limit - spent - leased;
  const timeOf = (epochMs: number | null): string | null => (epochMs === null ? null : new Date(epochMs).toISOString());
  return {
    object: 'budget_state',
    subject: state.subject,
    limit: formatAmount(limit),
    spent: formatAmount(spent),
    reserved: formatAmount(leased),
    remaining: formatAmount(left > 0n ? left : 0n),
    excess: formatAmount(state.excessNanoUsd),
    since: timeOf(state.startsEpochMs),
    renews_at: timeOf(state.renewsEpochMs),
  };
}
