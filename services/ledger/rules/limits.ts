import { randomUUIDv7 } from 'node:crypto';
import type { Selectable } from 'kysely';
import { sql } from 'kysely';
import { GatewayError } from '../../../shared/errors.ts';
import type { LimitTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { parseScope } from '../../../shared/scope.ts';
import { bumpRevision } from './revision.ts';
import type { Database, LimitsTable } from '../database/schema.ts';

/**
 * Limits that were made at run time; those of the configuration are known to each ingress. Several of one scope all hold.
 * Each change raises the revision, and is to be made in a transaction.
 */

export type LimitRow = Selectable<LimitsTable>;

export interface NewLimit extends LimitChange {
  readonly scope: ScopeName;
}

/** Absent: as it is. null: none of that sort. Cost in nano-dollars per window. */
export interface LimitChange {
  readonly requestsPerMinute?: number | null | undefined;
  readonly tokensPerMinute?: number | null | undefined;
  readonly cost?: LimitTerms['cost'] | null;
  readonly concurrent?: number | null | undefined;
  readonly burst?: number | null | undefined;
}

/** Those after this id, in the order of ids. */
export interface LimitPage {
  readonly limit: number;
  readonly after?: string | undefined;
}

type Numbers = Pick<
  LimitRow,
  'requests_per_minute' | 'tokens_per_minute' | 'cost_nano_usd' | 'cost_window_ms' | 'concurrent' | 'burst'
>;

const NONE: Numbers = {
  ...{ requests_per_minute: null, tokens_per_minute: null, cost_nano_usd: null, cost_window_ms: null },
  ...{ concurrent: null, burst: null },
};

/** Oldest first. @param scope undefined: of all scopes */
export async function listLimits(
  db: Database,
  { scope }: { readonly scope?: ScopeName | undefined },
  { limit, after = '' }: LimitPage,
): Promise<LimitRow[]> {
  const all = db.selectFrom('limits').selectAll().where('id', '>', after).orderBy('id').limit(limit);
  return (scope === undefined ? all : all.where('scope', '=', scope)).execute();
}

export async function getLimit(db: Database, id: string): Promise<LimitRow | undefined> {
  return db.selectFrom('limits').selectAll().where('id', '=', id).executeTakeFirst();
}

/** @throws GatewayError(`invalid_request`, param the field at fault) */
export async function createLimit(tx: Database, { scope, ...terms }: NewLimit): Promise<LimitRow> {
  checkScope(scope);
  const numbers = changed(NONE, terms);
  checkNumbers(numbers);
  // Ordered by time, as lists are.
  const id = `lim_${randomUUIDv7().replaceAll('-', '')}`;
  const row = await tx
    .insertInto('limits')
    .values({ id, scope, ...numbers })
    .returningAll()
    .executeTakeFirstOrThrow();
  await bumpRevision(tx);
  return row;
}

/** undefined: there is none. @throws GatewayError(`invalid_request`, param the field at fault) */
export async function updateLimit(tx: Database, id: string, change: LimitChange): Promise<LimitRow | undefined> {
  const before = await tx.selectFrom('limits').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (before === undefined) return undefined;
  const numbers = changed(before, change);
  checkNumbers(numbers);
  const row = await tx
    .updateTable('limits')
    .set({ ...numbers, version: before.version + 1n, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await bumpRevision(tx);
  return row;
}

/** As it was; undefined: there is none. */
export async function removeLimit(tx: Database, id: string): Promise<LimitRow | undefined> {
  const row = await tx.deleteFrom('limits').where('id', '=', id).returningAll().executeTakeFirst();
  if (row !== undefined) await bumpRevision(tx);
  return row;
}

function changed(
  before: Numbers,
  { requestsPerMinute, tokensPerMinute, cost, concurrent, burst }: LimitChange,
): Numbers {
  return {
    requests_per_minute: either(requestsPerMinute, before.requests_per_minute, 'requests_per_minute'),
    tokens_per_minute: either(tokensPerMinute, before.tokens_per_minute, 'tokens_per_minute'),
    cost_nano_usd: either(cost === null ? null : cost?.nanoUsd, before.cost_nano_usd, 'cost'),
    cost_window_ms: either(cost === null ? null : cost?.perMs, before.cost_window_ms, 'cost'),
    concurrent: either(concurrent, before.concurrent, 'concurrent'),
    burst: either(burst, before.burst, 'burst'),
  };
}

function either(said: number | null | undefined, before: bigint | null, param: string): bigint | null {
  if (said === undefined) return before;
  if (said === null) return null;
  if (Number.isSafeInteger(said) && said > 0) return BigInt(said);
  throw new GatewayError('invalid_request', `\`${param}\` must be a whole number above zero.`, { param });
}

function checkScope(scope: ScopeName): void {
  const param = 'scope';
  const parsed = parseScope(scope);
  if (parsed === undefined) {
    const rule = 'total, or a kind and an id, such as team:search, user:ada, user:*';
    throw new GatewayError('invalid_request', `"${scope.slice(0, 200)}" is no scope: ${rule}.`, { param });
  }
  if (parsed.kind === 'tag')
    throw new GatewayError('invalid_request', 'Limits are not for tags; budgets are.', { param });
}

function checkNumbers({ requests_per_minute, tokens_per_minute, cost_nano_usd, concurrent, burst }: Numbers): void {
  if (burst !== null && requests_per_minute === null)
    throw new GatewayError('invalid_request', '`burst` has no effect without `requests_per_minute`.', {
      param: 'burst',
    });
  if ([requests_per_minute, tokens_per_minute, cost_nano_usd, concurrent].some((number) => number !== null)) return;
  const message = 'A limit says `requests_per_minute`, `tokens_per_minute`, `cost` or `concurrent`.';
  throw new GatewayError('invalid_request', message, { param: 'requests_per_minute' });
}
