import { sql } from 'kysely';
import type { BudgetOver } from '../../../shared/messages/rules.ts';
import { patternOf } from '../../../shared/scope.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { Database } from '../database/schema.ts';

/** Of `budgets b`: at its end something becomes of requests, which ingresses can know only from the ledger. */
export const ACTS_WHEN_OVER = sql.raw(`not b.is_hard and b.on_limit ->> 'kind' <> 'reject'`);

interface OverRow {
  readonly budget: string;
  readonly subject: string;
  /** null: it does not turn. */
  readonly until_ms: bigint | null;
}

/**
 * The soft budgets that are over now for each of these scopes, those of its pattern among them: spent, as their windows are,
 * at least as much as the limit. Of nothing that is at once, window or none. By index alone.
 * @param subjects no patterns
 */
export async function standingsOf(
  db: Database,
  subjects: readonly ScopeName[],
): Promise<ReadonlyMap<ScopeName, BudgetOver[]>> {
  if (subjects.length === 0) return new Map();
  const asked = subjects.flatMap((subject) =>
    [...new Set([subject, patternOf(subject)])].map((scope) => ({ subject, scope })),
  );
  const { rows } = await sql<OverRow>`
    select b.id as budget, s.subject, case when isfinite(w.ends_at) and w.limit_nano_usd > 0
      then (extract(epoch from w.ends_at) * 1000)::bigint end as until_ms
    from unnest(${asked.map(({ subject }) => subject)}::text[], ${asked.map(({ scope }) => scope)}::text[])
      as s (subject, scope)
    join budgets b on b.is_live and b.scope = s.scope and ${ACTS_WHEN_OVER}
    left join lateral (
      select limit_nano_usd, spent_nano_usd, ends_at from budget_windows
      where budget_id = b.id and subject = s.subject and starts_at <= now()
      order by starts_at desc limit 1
    ) w on w.ends_at > now()
    where coalesce(w.spent_nano_usd, 0) >= coalesce(w.limit_nano_usd,
      b.amount_nano_usd + case when b.raised_until > now() then b.raised_by_nano_usd else 0 end)
    order by b.id`.execute(db);
  const standings = new Map<ScopeName, BudgetOver[]>();
  for (const { budget, subject, until_ms } of rows) {
    const over = standings.get(subject) ?? [];
    standings.set(subject, over);
    over.push({ budget, ...(until_ms !== null && { untilEpochMs: Number(until_ms) }) });
  }
  return standings;
}
