import { sql } from 'kysely';
import type { BudgetTerms, LimitTerms, RulesAnswer, ScopeRules } from '../../../shared/messages/rules.ts';
import { OnBudgetEnd } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { patternOf, SCOPE_KINDS } from '../../../shared/scope.ts';
import { ACTS_WHEN_OVER, standingsOf } from '../budgets/standings.ts';
import type { Database } from '../database/schema.ts';

interface Row {
  readonly revision: bigint;
  readonly kinds: string[];
  /** Patterns of soft budgets that say what becomes of requests at their end. */
  readonly acting: string[];
  readonly limits: readonly LimitRow[] | null;
  readonly budgets: readonly BudgetRow[] | null;
  readonly blocks: ReadonlyArray<{ readonly scope: string; readonly reason: string }> | null;
}

/** As Postgres writes JSON: its bigints are numbers, all of them below 2^53. */
interface LimitRow {
  readonly scope: string;
  readonly requests_per_minute: number | null;
  readonly tokens_per_minute: number | null;
  readonly cost_nano_usd: number | null;
  readonly cost_window_ms: number | null;
  readonly concurrent: number | null;
  readonly burst: number | null;
}

interface BudgetRow {
  readonly id: string;
  readonly name: string;
  readonly scope: string;
  readonly is_hard: boolean;
  readonly on_limit: unknown;
}

/**
 * What holds for these scopes, each as it is written: a pattern (`user:*`) is a scope like others here. One statement, so
 * that rules, kinds and revision are of one moment; and by index alone, whatever there is of other scopes. How soft budgets
 * stand comes from their windows, after that: who is told of a crossing and asks learns nothing older.
 */
export async function rulesFor(db: Database, scopes: readonly ScopeName[]): Promise<RulesAnswer> {
  const asked = sql`any(${[...scopes]}::text[])`;
  const { rows } = await sql<Row>`
    select
      (select revision from revisions) as revision,
      array(
        select kind from unnest(${KINDS.names}::text[], ${KINDS.from}::text[], ${KINDS.to}::text[]) as kinds (kind, first, past)
        where exists (select from limits where scope >= first and scope < past)
          or exists (select from budgets where is_live and scope >= first and scope < past)
          or exists (select from blocks where scope >= first and scope < past)
      ) as kinds,
      array(
        select distinct b.scope from budgets b
        where b.is_live and b.scope = any(${PATTERNS}::text[]) and ${ACTS_WHEN_OVER}) as acting,
      (select json_agg(r) from (
        select scope, requests_per_minute, tokens_per_minute, cost_nano_usd, cost_window_ms, concurrent, burst
        from limits where scope = ${asked} order by id) r) as limits,
      (select json_agg(r) from (
        select id, name, scope, is_hard, on_limit from budgets where is_live and scope = ${asked} order by id) r) as budgets,
      (select json_agg(r) from (select scope, reason from blocks where scope = ${asked}) r) as blocks`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error('a select without a row');
  const found = new Map<ScopeName, ScopeRules>();
  const of = (scope: ScopeName): ScopeRules => {
    const rules: ScopeRules = found.get(scope) ?? { limits: [], budgets: [] };
    found.set(scope, rules);
    return rules;
  };
  for (const limit of row.limits ?? []) of(limit.scope).limits.push(limitTermsOf(limit));
  for (const budget of row.budgets ?? []) of(budget.scope).budgets.push(budgetTermsOf(budget));
  for (const { scope, reason } of row.blocks ?? []) of(scope).blocked = { reason };
  for (const [subject, over] of await standingsOf(db, mayBeOver(scopes, row))) of(subject).over = over;
  const standings = row.acting.map((pattern) => pattern.slice(0, -':*'.length));
  return { v: 1, revision: Number(row.revision), kinds: row.kinds, standings, rules: Object.fromEntries(found) };
}

/** Those for which a soft budget may be over: mostly none, and then nothing is asked about it. */
function mayBeOver(scopes: readonly ScopeName[], { acting, budgets }: Row): ScopeName[] {
  const soft = new Set(budgets?.filter(({ is_hard: isHard }) => !isHard).map(({ scope }) => scope));
  return scopes.filter((scope) => !isPattern(scope) && (soft.has(scope) || acting.includes(patternOf(scope))));
}

function isPattern(scope: ScopeName): boolean {
  return scope !== 'total' && scope === patternOf(scope);
}

const PATTERNS = SCOPE_KINDS.filter((kind) => kind !== 'total').map((kind) => `${kind}:*`);

/**
 * Each kind as ranges of names, in the bytes' order (collation C): the pattern `user:*` is one, the names before it and
 * those after it are two more.
 */
const KINDS = rangesOf(SCOPE_KINDS);

function rangesOf(kinds: readonly string[]): { names: string[]; from: string[]; to: string[] } {
  const ranges = kinds.flatMap((kind) =>
    kind === 'total'
      ? [{ name: kind, from: kind, to: `${kind}\u0001` }]
      : [
          { name: kind, from: `${kind}:`, to: `${kind}:*` },
          { name: `${kind}:*`, from: `${kind}:*`, to: `${kind}:*\u0001` },
          // `;` follows `:`.
          { name: kind, from: `${kind}:*\u0001`, to: `${kind};` },
        ],
  );
  return {
    names: ranges.map(({ name }) => name),
    from: ranges.map(({ from }) => from),
    to: ranges.map(({ to }) => to),
  };
}

function limitTermsOf(row: LimitRow): LimitTerms {
  const { requests_per_minute, tokens_per_minute, cost_nano_usd, cost_window_ms, concurrent, burst } = row;
  return {
    ...(requests_per_minute !== null && { requestsPerMinute: requests_per_minute }),
    ...(tokens_per_minute !== null && { tokensPerMinute: tokens_per_minute }),
    ...(cost_nano_usd !== null &&
      cost_window_ms !== null && { cost: { nanoUsd: cost_nano_usd, perMs: cost_window_ms } }),
    ...(concurrent !== null && { concurrent }),
    ...(burst !== null && { burst }),
  };
}

function budgetTermsOf({ id, name, scope, is_hard: isHard, on_limit }: BudgetRow): BudgetTerms {
  return { id, name, scope, isHard, onLimit: OnBudgetEnd.parse(on_limit) };
}
