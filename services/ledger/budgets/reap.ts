import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { WindowKey } from '../core/windows.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { Database, Tables } from '../database/schema.ts';
import { noteCrossings } from './crossings.ts';
import { changeLeases, readLeases } from './lease-rows.ts';
import { takeBackRaises } from './store.ts';
import { changeWindows, databaseEpochMs, epochMsOf, lockWindows, rollWindows } from './window-rows.ts';

/** One ledger at a time. Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_020;
/** After a lease's expiry: an ingress that dies takes its workers' attempts with it within 2 s, and they report them. */
const GRACE_MS = 5_000;
/** After this events are not waited for any more: under load the stream of them may never be empty. */
const LONGEST_MS = 10 * 60_000;
/** Leases, and windows of rolling budgets, of one transaction: it takes some ten milliseconds. */
const BATCH = 500;
/** Closed leases are kept for this long, for who wonders where a budget went. */
const KEEP_CLOSED_MS = 24 * 60 * 60_000;

export interface Reaped {
  /** Leases that were closed because nobody reported them any more. */
  readonly expired: number;
}

/**
 * Does what time does to budgets: closes leases whose ingress is gone, so that what it reserved returns; takes back raises
 * that are over; takes from rolling windows what has left their length; forgets leases that were closed long ago.
 *
 * A lease is closed only when all that was spent until well after its expiry is recorded, also the attempts that its ingress
 * took with it: only then the rest returns.
 * @param recordedForMs how long ago all that had been spent was last known to be recorded; Infinity: never
 * @returns undefined when another ledger is at it
 * @throws what Postgres said; what was done until then stays done
 */
export async function reapBudgets(db: Database, recordedForMs: Millis): Promise<Reaped | undefined> {
  return db.connection().execute(async (holder) => {
    const { rows } = await sql<{ isOurs: boolean }>`select pg_try_advisory_lock(${LOCK}) as "isOurs"`.execute(holder);
    if (rows[0]?.isOurs !== true) return undefined;
    try {
      const now = await databaseEpochMs(holder);
      await holder.transaction().execute((tx) => takeBackRaises(tx, now));
      await inBatches(() => holder.transaction().execute((tx) => rollDue(tx, now)));
      await inBatches(() => forgetClosed(holder));
      let expired = 0;
      await inBatches(async () => {
        const { due, closed } = await holder.transaction().execute((tx) => closeExpired(tx, recordedForMs));
        expired += closed;
        return due;
      });
      return { expired };
    } finally {
      await sql`select pg_advisory_unlock(${LOCK})`.execute(holder);
    }
  });
}

/** Until a batch is not full. */
async function inBatches(doOne: () => Promise<number>): Promise<void> {
  while ((await doOne()) === BATCH);
}

/** Returns what is open of a batch of expired leases. What is recorded later than this is covered by nothing. */
async function closeExpired(tx: Transaction<Tables>, recordedForMs: Millis): Promise<{ due: number; closed: number }> {
  const sinceExpiryMs = Math.min(recordedForMs + GRACE_MS, LONGEST_MS);
  const due = await tx
    .selectFrom('budget_leases')
    .select(['id', 'budget_id', 'subject', 'starts_at'])
    .where('is_closed', '=', false)
    .where('expires_at', '<=', sql<Date>`now() - ${sinceExpiryMs}::float8 * interval '1 ms'`)
    .orderBy('expires_at')
    .limit(BATCH)
    .execute();
  const keys = due.map((row): WindowKey => {
    return { budgetId: row.budget_id, subject: row.subject, startsAt: epochMsOf(row.starts_at) };
  });
  await lockWindows(tx, [...new Map(keys.map((key) => [nameOfWindow(key), key])).values()]);
  // Renewed or closed while we waited for the lock: not ours any more.
  const stillDue = await tx
    .selectFrom('budget_leases')
    .select('id')
    .where('id', '=', sql<string>`any(${due.map(({ id }) => id)})`)
    .where('is_closed', '=', false)
    .where('expires_at', '<=', sql<Date>`now() - ${sinceExpiryMs}::float8 * interval '1 ms'`)
    .execute();
  const leases = await readLeases(
    tx,
    stillDue.map(({ id }) => id),
  );
  const returned = new Map<string, { key: WindowKey; spent: NanoUsd; leased: NanoUsd }>();
  for (const { window, amount, settled } of leases) {
    const name = nameOfWindow(window);
    const leased = (returned.get(name)?.leased ?? 0n) - (amount - settled);
    returned.set(name, { key: window, spent: 0n, leased });
  }
  await changeLeases(
    tx,
    leases.map(({ id, settled }) => ({ id, amount: settled, settled, isClosed: true })),
  );
  await changeWindows(tx, [...returned.values()], { mayExceed: true });
  return { due: due.length, closed: leases.length };
}

/** Rolls a batch of the windows that have parts which left. */
async function rollDue(tx: Transaction<Tables>, now: Millis): Promise<number> {
  const { rows } = await sql<{ budget_id: string; subject: string; rolling_ms: bigint }>`
    select distinct p.budget_id, p.subject, b.rolling_ms
    from budgets b join budget_parts p on p.budget_id = b.id
    where b.per = 'rolling'
      and p.starts_at <= to_timestamp((${now}::float8 - b.rolling_ms - ceil(b.rolling_ms / 60.0)) / 1000)
    limit ${BATCH}`.execute(tx);
  const windows = rows.map(({ budget_id: budgetId, subject, rolling_ms }) => {
    return { budgetId, subject, startsAt: -Infinity, rollingMs: Number(rolling_ms) };
  });
  const before = await lockWindows(tx, windows);
  await noteCrossings(tx, before, await rollWindows(tx, windows, now));
  return rows.length;
}

async function forgetClosed(db: Database): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('budget_leases')
    .where(
      'id',
      'in',
      db
        .selectFrom('budget_leases')
        .select('id')
        .where('is_closed', '=', true)
        .where('expires_at', '<=', sql<Date>`now() - ${KEEP_CLOSED_MS}::float8 * interval '1 ms'`)
        .limit(BATCH),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}
