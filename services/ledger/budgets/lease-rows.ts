import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { Tables } from '../database/schema.ts';
import type { BudgetWindow, WindowKey } from '../core/windows.ts';
import { epochMsOf, rowOfKey } from './window-rows.ts';

/** As a lease stands: which window it is of never changes, the rest only under that window's lock. A closed one has nothing open. */
export interface LeaseRow {
  readonly id: string;
  readonly window: WindowKey;
  readonly ingress: string;
  readonly amount: NanoUsd;
  /** Moved to spent by events. */
  readonly settled: NanoUsd;
  readonly isClosed: boolean;
}

export interface LeaseChange {
  readonly id: string;
  readonly amount: NanoUsd;
  readonly settled: NanoUsd;
  readonly isClosed: boolean;
  /** undefined: it expires when it did. */
  readonly expiresInMs?: Millis | undefined;
}

export interface NewLease {
  readonly id: string;
  readonly window: WindowKey & BudgetWindow;
  readonly ingress: string;
  readonly amount: NanoUsd;
  readonly expiresInMs: Millis;
}

/** Those that exist, ordered by id. */
export async function readLeases(tx: Transaction<Tables>, ids: readonly string[]): Promise<LeaseRow[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .selectFrom('budget_leases')
    .selectAll()
    .where('id', '=', sql<string>`any(${ids})`)
    .orderBy('id')
    .execute();
  return rows.map(leaseOfRow);
}

/** Those with something open that these ingresses hold in these windows, ordered by id. */
export async function readOpenLeases(
  tx: Transaction<Tables>,
  holders: readonly { readonly window: WindowKey; readonly ingress: string }[],
): Promise<LeaseRow[]> {
  if (holders.length === 0) return [];
  const rows = holders.map(({ window, ingress }) => ({ ...rowOfKey(window), ingress }));
  const { rows: found } = await sql<RawLease>`
    select l.* from budget_leases l
    join json_to_recordset(${JSON.stringify(rows)})
      as k(budget_id text, subject text, starts_at timestamptz, ingress text)
      using (budget_id, subject, starts_at, ingress)
    where not l.is_closed and l.amount_nano_usd > l.settled_nano_usd
    order by l.id`.execute(tx);
  return found.map(leaseOfRow);
}

/** Which ingresses hold something open in these windows, as far as they are still heard of. */
export async function readHolders(
  tx: Transaction<Tables>,
  windows: readonly WindowKey[],
): Promise<{ readonly window: WindowKey; readonly ingress: string }[]> {
  if (windows.length === 0) return [];
  const { rows } = await sql<Pick<RawLease, 'budget_id' | 'subject' | 'starts_at' | 'ingress'>>`
    select distinct l.budget_id, l.subject, l.starts_at, l.ingress from budget_leases l
    join json_to_recordset(${JSON.stringify(windows.map(rowOfKey))})
      as k(budget_id text, subject text, starts_at timestamptz) using (budget_id, subject, starts_at)
    where not l.is_closed and l.amount_nano_usd > l.settled_nano_usd and l.expires_at > clock_timestamp()
    order by l.ingress`.execute(tx);
  return rows.map((row) => ({ window: keyOf(row), ingress: row.ingress }));
}

export async function insertLeases(tx: Transaction<Tables>, leases: readonly NewLease[]): Promise<void> {
  if (leases.length === 0) return;
  const rows = leases.map(({ id, window, ingress, amount, expiresInMs }) => ({
    ...rowOfKey(window),
    ...{ id, ingress, amount: amount.toString(), expires_in_ms: expiresInMs },
  }));
  await sql`
    insert into budget_leases (id, budget_id, subject, starts_at, ingress, amount_nano_usd, expires_at)
    select id, budget_id, subject, starts_at, ingress, amount, clock_timestamp() + expires_in_ms * interval '1 ms'
    from json_to_recordset(${JSON.stringify(rows)})
      as k(id text, budget_id text, subject text, starts_at timestamptz, ingress text, amount bigint, expires_in_ms bigint)
    order by id`.execute(tx);
}

/** Of leases whose windows are locked. */
export async function changeLeases(tx: Transaction<Tables>, changes: readonly LeaseChange[]): Promise<void> {
  if (changes.length === 0) return;
  const rows = changes.map(({ id, amount, settled, isClosed, expiresInMs }) => ({
    ...{ id, amount: amount.toString(), settled: settled.toString() },
    ...{ is_closed: isClosed, expires_in_ms: expiresInMs ?? null },
  }));
  await sql`
    update budget_leases l set
      amount_nano_usd = c.amount,
      settled_nano_usd = c.settled,
      is_closed = c.is_closed,
      expires_at = coalesce(clock_timestamp() + c.expires_in_ms * interval '1 ms', l.expires_at)
    from json_to_recordset(${JSON.stringify(rows)})
      as c(id text, amount bigint, settled bigint, is_closed boolean, expires_in_ms bigint)
    where l.id = c.id`.execute(tx);
}

interface RawLease {
  readonly id: string;
  readonly budget_id: string;
  readonly subject: string;
  readonly starts_at: Date | number;
  readonly ingress: string;
  readonly amount_nano_usd: NanoUsd;
  readonly settled_nano_usd: NanoUsd;
  readonly is_closed: boolean;
}

function keyOf({ budget_id, subject, starts_at }: Pick<RawLease, 'budget_id' | 'subject' | 'starts_at'>): WindowKey {
  return { budgetId: budget_id, subject, startsAt: epochMsOf(starts_at) };
}

function leaseOfRow(row: RawLease): LeaseRow {
  return {
    ...{ id: row.id, window: keyOf(row), ingress: row.ingress },
    ...{ amount: row.amount_nano_usd, settled: row.settled_nano_usd, isClosed: row.is_closed },
  };
}
