import type { Log } from '../../../shared/log.ts';
import type { LeaseAnswer, LeaseAsk } from '../../../shared/messages/lease.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { moveBalances } from '../budgets/balances.ts';
import type { MoveOptions } from '../budgets/balances.ts';
import type { BudgetRecord, NewBudget } from '../budgets/store.ts';
import { createBudget } from '../budgets/store.ts';
import { openDatabase } from '../database/database.ts';
import { insertEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { freshLedgerDatabase } from './fresh-database.ts';

export interface BudgetSetup {
  readonly url: string;
  readonly db: Database;
  /** As several ledgers: each with its own connections to the one database. */
  readonly ledgers: readonly Database[];
  stop(): Promise<void>;
}

export async function setUpBudgets(log: Log, ledgerCount = 1): Promise<BudgetSetup> {
  const { db, url, close } = await freshLedgerDatabase();
  const ledgers = Array.from({ length: ledgerCount }, () => openDatabase({ url, log }));
  return {
    ...{ url, db, ledgers },
    stop: async () => {
      await Promise.all(ledgers.map((each) => each.destroy()));
      await close();
    },
  };
}

export function makeBudget(db: Database, budget: Partial<NewBudget> = {}): Promise<BudgetRecord> {
  const given: NewBudget = { scope: 'total', amountNanoUsd: 1_000, per: 'day', ...budget };
  return db.transaction().execute((tx) => createBudget(tx, given));
}

export function askFor(
  ingress: string,
  items: readonly { budget: string; subject?: string; need: number; want?: number }[],
): LeaseAsk {
  const complete = items.map(({ budget, subject = 'total', need, want = need }) => ({ budget, subject, need, want }));
  return { v: 1, ingress, items: complete };
}

/** The ids of what was granted. */
export function leasesOf(answers: readonly LeaseAnswer[]): string[] {
  return answers.flatMap(({ grants }) => grants.map(({ lease }) => lease));
}

/** As a ledger records. */
export async function recordAndMove(
  db: Database,
  events: readonly UsageRecorded[],
  options?: MoveOptions,
): Promise<void> {
  await insertEvents(db, events, (tx, fresh) => moveBalances(tx, fresh, options));
}

export interface Window {
  readonly subject: string;
  readonly limit: bigint;
  readonly spent: bigint;
  readonly leased: bigint;
  readonly excess: bigint;
}

/** Of one budget, by subject and start. */
export async function windowsOf(db: Database, budget: string): Promise<Window[]> {
  const rows = await db
    .selectFrom('budget_windows')
    .selectAll()
    .where('budget_id', '=', budget)
    .orderBy('subject')
    .orderBy('starts_at')
    .execute();
  return rows.map((row) => ({
    ...{ subject: row.subject, limit: row.limit_nano_usd, spent: row.spent_nano_usd },
    ...{ leased: row.leased_nano_usd, excess: row.excess_nano_usd },
  }));
}

/** As if the ingress had not been heard of for this long since the lease's expiry. */
export async function expire(db: Database, lease: string, agoMs: number): Promise<void> {
  const expired = new Date(Date.now() - agoMs);
  await db.updateTable('budget_leases').set({ expires_at: expired }).where('id', '=', lease).execute();
}
