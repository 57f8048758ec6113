import type { Limit, LIMIT_OPERATIONS, LimitChange as ChangeAsked } from '../../../shared/admin/limits.ts';
import { formatDuration, parseDuration } from '../../../shared/config/duration.ts';
import { formatAmount, parseUsd } from '../../../shared/money.ts';
import type { Reach } from '../core/reach.ts';
import type { LimitChange, LimitRow } from '../rules/limits.ts';
import { createLimit, getLimit, listLimits, removeLimit, updateLimit } from '../rules/limits.ts';
import type { Database } from '../database/schema.ts';
import { found } from './found.ts';
import type { Handlers } from './handler.ts';
import { readCursor } from './page.ts';
import { pageWithin, refuseForeignScope, scopesWithin } from './scope-reach.ts';

export const LIMIT_HANDLERS: Handlers<typeof LIMIT_OPERATIONS> = {
  listLimits: async (db, { query: { limit, after, scope }, reach }) => {
    const page = { limit, after: readCursor(after) };
    const body = await pageWithin(db, reach, page, {
      fetch: (next) => listLimits(db, { scope }, next),
      scopeOf: (row) => row.scope,
      keyOf: ({ id }) => id,
      show: limitOf,
    });
    return { body };
  },
  createLimit: async (transaction, { body: { scope, ...terms }, reach }) => {
    await refuseForeignScope(transaction, reach, scope);
    return changed(null, await createLimit(transaction, { scope, ...changeOf(terms) }));
  },
  getLimit: async (db, { params, reach }) => {
    const row = await reachedLimit(db, params.limit, reach);
    return { body: limitOf(row), version: row.version };
  },
  updateLimit: async (transaction, { params, body, reach, expects }) => {
    const before = await reachedLimit(transaction, params.limit, reach);
    expects(before.version);
    const after = found('limit', before.id, await updateLimit(transaction, before.id, changeOf(body)));
    return changed(before, after);
  },
  deleteLimit: async (transaction, { params, reach, expects }) => {
    const before = await reachedLimit(transaction, params.limit, reach);
    expects(before.version);
    await removeLimit(transaction, before.id);
    const body = { object: 'limit', id: before.id, deleted: true as const };
    return { ...aboutLimit(before), body, before: limitOf(before), after: null };
  },
};

/** One of another team is not told from one that there is not. @throws GatewayError(`not_found`) */
async function reachedLimit(db: Database, id: string, reach: Reach): Promise<LimitRow> {
  const row = found('limit', id, await getLimit(db, id));
  const within = await scopesWithin(db, reach, [row.scope]);
  return found('limit', id, within.has(row.scope) ? row : undefined);
}

function changed(before: LimitRow | null, after: LimitRow) {
  const body = limitOf(after);
  return { ...aboutLimit(after), body, version: after.version, before: before && limitOf(before), after: body };
}

function aboutLimit({ id, scope }: LimitRow) {
  return { entity: 'limit', entityId: id, about: { scopes: [scope] } };
}

function changeOf({ cost, ...terms }: ChangeAsked): LimitChange {
  return {
    requestsPerMinute: terms.requests_per_minute,
    tokensPerMinute: terms.tokens_per_minute,
    concurrent: terms.concurrent,
    burst: terms.burst,
    ...(cost !== undefined && { cost: readCost(cost) }),
  };
}

function readCost(cost: NonNullable<ChangeAsked['cost']> | null): NonNullable<LimitChange['cost']> | null {
  return cost === null ? null : { nanoUsd: Number(parseUsd(cost.amount)), perMs: parseDuration(cost.per) };
}

function limitOf(row: LimitRow): Limit {
  const { cost_nano_usd: cost, cost_window_ms: per } = row;
  return {
    object: 'limit',
    id: row.id,
    scope: row.scope,
    requests_per_minute: numberOf(row.requests_per_minute),
    tokens_per_minute: numberOf(row.tokens_per_minute),
    cost: cost === null || per === null ? null : { amount: formatAmount(cost), per: formatDuration(Number(per)) },
    concurrent: numberOf(row.concurrent),
    burst: numberOf(row.burst),
    version: Number(row.version),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function numberOf(value: bigint | null): number | null {
  return value === null ? null : Number(value);
}
