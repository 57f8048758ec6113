import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import { leftBefore } from '../core/rolling.ts';
import type { BudgetWindow, WindowKey } from '../core/windows.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { Database, Tables } from '../database/schema.ts';

export interface WindowRow extends WindowKey, BudgetWindow {
  readonly limit: NanoUsd;
  readonly spent: NanoUsd;
  readonly leased: NanoUsd;
  readonly excess: NanoUsd;
}

/** What is added to a window. */
export interface WindowChange {
  readonly key: WindowKey;
  readonly spent: NanoUsd;
  readonly leased: NanoUsd;
}

export interface RollingWindow extends WindowKey {
  readonly rollingMs: Millis;
}

/** A moment as Postgres reads it from JSON. */
export function timestampOf(epochMs: Millis): string {
  if (epochMs === -Infinity) return '-infinity';
  return epochMs === Infinity ? 'infinity' : new Date(epochMs).toISOString();
}

/** A `timestamptz` as pg gives it → Unix epoch milliseconds. */
export function epochMsOf(value: Date | number): Millis {
  return typeof value === 'number' ? value : value.getTime();
}

/** The time of the one clock that all ledgers share. */
export const EPOCH_MS = sql<bigint>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

/** As `EPOCH_MS`, on its own. */
export async function databaseEpochMs(db: Database): Promise<Millis> {
  const { rows } = await sql<{ now: bigint }>`select ${EPOCH_MS} as now`.execute(db);
  return Number(rows[0]?.now ?? 0n);
}

/**
 * Makes the windows that are not there yet, with their budget's limit of this moment. Comes before `lockWindows`: who
 * changes a budget locks its row first and its windows after it, and the share of that row that is taken here makes sure
 * that no window is made with a limit that is just being changed.
 * @returns how many were made
 */
export async function ensureWindows(
  tx: Transaction<Tables>,
  windows: readonly (WindowKey & BudgetWindow)[],
  nowEpochMs: Millis,
): Promise<number> {
  if (windows.length === 0) return 0;
  const rows = windows.map((window) => ({ ...rowOfKey(window), ends_at: timestampOf(window.endsAt) }));
  const { numAffectedRows } = await sql`
    insert into budget_windows (budget_id, subject, starts_at, ends_at, limit_nano_usd)
    select k.budget_id, k.subject, k.starts_at, k.ends_at, b.amount_nano_usd +
      case when b.raised_until > ${timestampOf(nowEpochMs)}::timestamptz then b.raised_by_nano_usd else 0 end
    from json_to_recordset(${JSON.stringify(rows)})
      as k(budget_id text, subject text, starts_at timestamptz, ends_at timestamptz)
    join budgets b on b.id = k.budget_id
    where not exists (
      select from budget_windows w
      where w.budget_id = k.budget_id and w.subject = k.subject and w.starts_at = k.starts_at)
    order by k.budget_id collate "C", k.subject collate "C", k.starts_at
    for share of b
    on conflict do nothing`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

/**
 * Locks windows, in the one order that everybody keeps to (budget, subject, start), until the end of the transaction.
 * Nobody touches a balance, a lease or a part of a rolling budget without its window's lock.
 * @returns by `nameOfWindow`; without those that do not exist
 */
export async function lockWindows(
  tx: Transaction<Tables>,
  windows: readonly WindowKey[],
): Promise<Map<string, WindowRow>> {
  if (windows.length === 0) return new Map();
  const { rows } = await sql<RawWindow>`
    select w.* from budget_windows w
    join json_to_recordset(${JSON.stringify(windows.map(rowOfKey))})
      as k(budget_id text, subject text, starts_at timestamptz) using (budget_id, subject, starts_at)
    order by w.budget_id, w.subject, w.starts_at
    for no key update of w`.execute(tx);
  return byName(rows);
}

/**
 * Adds to windows that are locked.
 * @param mayExceed what is then beyond the limit is named in `excess`; else Postgres refuses it (the CHECK `never_overshot`)
 * @returns the windows as they are now
 */
export async function changeWindows(
  tx: Transaction<Tables>,
  changes: readonly WindowChange[],
  { mayExceed }: { readonly mayExceed: boolean },
): Promise<Map<string, WindowRow>> {
  if (changes.length === 0) return new Map();
  const rows = changes.map(({ key, spent, leased }) => ({
    ...rowOfKey(key),
    ...{ spent: spent.toString(), leased: leased.toString() },
  }));
  const { rows: changed } = await sql<RawWindow>`
    update budget_windows w set
      spent_nano_usd = w.spent_nano_usd + c.spent,
      leased_nano_usd = w.leased_nano_usd + c.leased,
      excess_nano_usd = case when ${mayExceed}
        then greatest(0, w.spent_nano_usd + c.spent + w.leased_nano_usd + c.leased - w.limit_nano_usd)
        else w.excess_nano_usd end
    from json_to_recordset(${JSON.stringify(rows)})
      as c(budget_id text, subject text, starts_at timestamptz, spent bigint, leased bigint)
    where w.budget_id = c.budget_id and w.subject = c.subject and w.starts_at = c.starts_at
    returning w.*`.execute(tx);
  return byName(changed);
}

/**
 * Takes from rolling windows, which are locked, what has left their length.
 * @returns the windows that changed, as they are now
 */
export async function rollWindows(
  tx: Transaction<Tables>,
  windows: readonly RollingWindow[],
  nowEpochMs: Millis,
): Promise<Map<string, WindowRow>> {
  if (windows.length === 0) return new Map();
  const rows = windows.map((window) => ({
    ...rowOfKey(window),
    left_before: timestampOf(leftBefore(window.rollingMs, nowEpochMs)),
  }));
  const { rows: changed } = await sql<RawWindow>`
    with asked as (
      select * from json_to_recordset(${JSON.stringify(rows)})
        as k(budget_id text, subject text, starts_at timestamptz, left_before timestamptz)
    ), gone as (
      delete from budget_parts p using asked
      where p.budget_id = asked.budget_id and p.subject = asked.subject and p.starts_at <= asked.left_before
      returning asked.budget_id, asked.subject, asked.starts_at, p.spent_nano_usd as spent
    ), sums as (
      select budget_id, subject, starts_at, sum(spent)::bigint as spent from gone group by 1, 2, 3
    )
    update budget_windows w set
      spent_nano_usd = w.spent_nano_usd - sums.spent,
      excess_nano_usd = greatest(0, w.spent_nano_usd - sums.spent + w.leased_nano_usd - w.limit_nano_usd)
    from sums
    where w.budget_id = sums.budget_id and w.subject = sums.subject and w.starts_at = sums.starts_at
    returning w.*`.execute(tx);
  return byName(changed);
}

interface RawWindow {
  readonly budget_id: string;
  readonly subject: string;
  readonly starts_at: Date | number;
  readonly ends_at: Date | number;
  readonly limit_nano_usd: NanoUsd;
  readonly spent_nano_usd: NanoUsd;
  readonly leased_nano_usd: NanoUsd;
  readonly excess_nano_usd: NanoUsd;
}

export function windowOfRow(row: RawWindow): WindowRow {
  return {
    ...{ budgetId: row.budget_id, subject: row.subject },
    ...{ startsAt: epochMsOf(row.starts_at), endsAt: epochMsOf(row.ends_at) },
    ...{ limit: row.limit_nano_usd, spent: row.spent_nano_usd },
    ...{ leased: row.leased_nano_usd, excess: row.excess_nano_usd },
  };
}

function byName(rows: readonly RawWindow[]): Map<string, WindowRow> {
  return new Map(
    rows.map((row) => {
      const window = windowOfRow(row);
      return [nameOfWindow(window), window];
    }),
  );
}

/** As JSON that `json_to_recordset` reads. */
export function rowOfKey({ budgetId, subject, startsAt }: WindowKey): {
  budget_id: string;
  subject: string;
  starts_at: string;
} {
  return { budget_id: budgetId, subject, starts_at: timestampOf(startsAt) };
}
