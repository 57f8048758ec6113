import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import { windowOf } from '../core/windows.ts';
import type { Database } from '../database/schema.ts';
import { getBudget } from './store.ts';
import { databaseEpochMs, windowOfRow } from './window-rows.ts';

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1_000;

/** How a budget stands for one scope in its current window. */
export interface BudgetState {
  readonly subject: string;
  /** With a raise, while it lasts. */
  readonly limitNanoUsd: NanoUsd;
  readonly spentNanoUsd: NanoUsd;
  /** Reserved, or held ready by ingresses. */
  readonly leasedNanoUsd: NanoUsd;
  /** Of what was spent, what is beyond the limit. */
  readonly excessNanoUsd: NanoUsd;
  /** null: since ever. */
  readonly startsEpochMs: Millis | null;
  /** When it begins anew; null: never, or little by little (`rolling`). */
  readonly renewsEpochMs: Millis | null;
}

export interface StatePage {
  /** Only of this scope. */
  readonly subject?: string | undefined;
  /** The subject of the last one of the page before. */
  readonly after?: string | undefined;
  /** 1..1000, default 100. */
  readonly limit?: number | undefined;
}

/**
 * A page of a budget's current windows, by subject: one, or for a pattern one for each scope that has used it.
 * Spending that leaves a rolling budget is taken off every few seconds, and whenever a lease is granted.
 * @throws GatewayError(`not_found`)
 */
export async function budgetState(
  db: Database,
  id: string,
  { subject, after, limit }: StatePage = {},
): Promise<BudgetState[]> {
  const budget = await getBudget(db, id);
  const now = await databaseEpochMs(db);
  let query = db
    .selectFrom('budget_windows')
    .selectAll()
    .where('budget_id', '=', id)
    .where('ends_at', '>', sql<Date>`now()`)
    .where('starts_at', '<=', sql<Date>`now()`)
    .orderBy('subject');
  if (subject !== undefined) query = query.where('subject', '=', subject);
  if (after !== undefined) query = query.where('subject', '>', after);
  const rows = await query.limit(Math.min(MAX_PAGE, Math.max(1, limit ?? DEFAULT_PAGE))).execute();
  const states = rows.map((row): BudgetState => {
    const window = windowOfRow(row);
    return {
      subject: window.subject,
      ...{ limitNanoUsd: window.limit, spentNanoUsd: window.spent },
      ...{ leasedNanoUsd: window.leased, excessNanoUsd: window.excess },
      ...{ startsEpochMs: finite(window.startsAt), renewsEpochMs: finite(window.endsAt) },
    };
  });
  const isUnused = states.length === 0 && after === undefined;
  const unusedSubject = budget.scope.endsWith(':*') ? subject : (subject ?? budget.scope);
  if (!isUnused || unusedSubject === undefined) return states;
  const window = windowOf(budget, now);
  const raise = (budget.raisedUntilEpochMs ?? -Infinity) > now ? budget.raisedByNanoUsd : 0;
  return [
    {
      subject: unusedSubject,
      ...{ limitNanoUsd: BigInt(budget.amountNanoUsd + raise), spentNanoUsd: 0n, leasedNanoUsd: 0n, excessNanoUsd: 0n },
      ...{ startsEpochMs: finite(window.startsAt), renewsEpochMs: finite(window.endsAt) },
    },
  ];
}

function finite(epochMs: Millis): Millis | null {
  return Number.isFinite(epochMs) ? epochMs : null;
}
