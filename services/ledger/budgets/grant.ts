import type { Selectable, Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import { makeLeaseId } from '../../../shared/ids.ts';
import type { LeaseAnswer, LeaseAsk, LeaseGrant } from '../../../shared/messages/lease.ts';
import { patternOf } from '../../../shared/scope.ts';
import type { Decision } from '../core/grant.ts';
import { decideAsks } from '../core/grant.ts';
import type { BudgetWindow, WindowKey } from '../core/windows.ts';
import { nameOfWindow, WindowCalendar } from '../core/windows.ts';
import type { BudgetsTable, Database, Tables } from '../database/schema.ts';
import type { Target } from './explain-refusals.ts';
import { explainRefusals } from './explain-refusals.ts';
import type { NewLease } from './lease-rows.ts';
import { insertLeases } from './lease-rows.ts';
import { takeBackRaises } from './store.ts';
import type { WindowRow } from './window-rows.ts';
import { changeWindows, databaseEpochMs, ensureWindows, lockWindows, rollWindows } from './window-rows.ts';

/** Leases are renewed every 5 s: an ingress may miss two of its reports. */
export const LEASE_TTL_MS = 15_000;

type Refusal = NonNullable<LeaseAnswer['refused']>;

/** What an ask asks for; or that one of its budgets is not leased from. */
type Aimed = { readonly targets: readonly Target[] } | { readonly gone: Refusal };

type Outcome = { readonly leases: readonly NewLease[] } | { readonly refused: Target } | { readonly gone: Refusal };

/**
 * Grants slices of budgets, to each ask all of its items or none, in one transaction for all of the asks, which is committed
 * before this returns: `spent + leased + slice <= limit` is decided under the windows' locks, and is a CHECK of the table.
 * @param ingresses that share the budgets: the more there are, the smaller the slices
 * @returns an answer for each ask, in their order
 * @throws what Postgres said; nothing is granted then
 */
export async function grantLeases(db: Database, asks: readonly LeaseAsk[], ingresses: number): Promise<LeaseAnswer[]> {
  const ids = [...new Set(asks.flatMap(({ items }) => items.map(({ budget }) => budget)))];
  const now = await databaseEpochMs(db);
  const budgets = await readBudgets(db, ids);
  // On its own, because it locks other windows than those that are asked for.
  if (isRaiseOver([...budgets.values()], now)) await db.transaction().execute((tx) => takeBackRaises(tx, now, ids));

  const calendar = new WindowCalendar();
  const aimed = asks.map((ask) => aim(ask, budgets, (budget) => calendar.windowOf(periodOf(budget), now)));
  return db.transaction().execute(async (tx) => {
    const targets = aimed.map((each) => ('targets' in each ? each.targets : []));
    const windows = await lockTargets(tx, targets.flat(), now);
    const decisions = decideAsks(targets, windows, ingresses);
    const outcomes = asks.map((ask, index) => outcomeOf(ask, aimed[index], decisions[index]));
    await writeLeases(
      tx,
      outcomes.flatMap((outcome) => ('leases' in outcome ? outcome.leases : [])),
    );
    const refused = outcomes.flatMap((outcome) => ('refused' in outcome ? [outcome.refused] : []));
    const refusals = await explainRefusals(tx, refused, windows);
    return outcomes.map((outcome, index): LeaseAnswer => {
      if ('leases' in outcome) return { v: 1, grants: outcome.leases.map((lease) => grantOf(lease, now)) };
      if ('gone' in outcome) return { v: 1, grants: [], refused: outcome.gone };
      const refusal = refusals.get(outcome.refused.window);
      const holders = (refusal?.holders ?? []).filter((holder) => holder !== asks[index]?.ingress);
      return { v: 1, grants: [], ...(refusal !== undefined && { refused: { ...refusal, holders } }) };
    });
  });
}

async function readBudgets(db: Database, ids: readonly string[]): Promise<Map<string, Selectable<BudgetsTable>>> {
  const rows = await db
    .selectFrom('budgets')
    .selectAll()
    .where('id', '=', sql<string>`any(${ids})`)
    .execute();
  return new Map(rows.map((budget) => [budget.id, budget]));
}

function isRaiseOver(budgets: readonly Selectable<BudgetsTable>[], now: Millis): boolean {
  return budgets.some(({ raised_until: until }) => until !== null && until.getTime() <= now);
}

function periodOf({ per, time_zone: timeZone }: Selectable<BudgetsTable>) {
  return { per, timeZone };
}

/** A budget that is no more, is not for this scope or has become soft is gone for the asker: it should learn anew. */
function aim(
  { items }: LeaseAsk,
  budgets: ReadonlyMap<string, Selectable<BudgetsTable>>,
  windowOf: (budget: Selectable<BudgetsTable>) => BudgetWindow,
): Aimed {
  const targets: Target[] = [];
  for (const { budget: id, subject, need, want } of items) {
    const budget = budgets.get(id);
    const isFor = budget !== undefined && (budget.scope === subject || budget.scope === patternOf(subject));
    if (!isFor || !budget.is_live || !budget.is_hard) {
      const name = budget?.name ?? id;
      return { gone: { budget: id, subject, name, limitNanoUsd: 0, spentNanoUsd: 0, holders: [], isGone: true } };
    }
    const key = { budgetId: id, subject, ...windowOf(budget) };
    targets.push({ budget, key, window: nameOfWindow(key), need: wholeOf(need), want: wholeOf(want) });
  }
  return { targets };
}

function wholeOf(nanoUsd: number): bigint {
  return BigInt(Math.max(0, Math.ceil(nanoUsd)));
}

/** The windows as they are now, by name. */
async function lockTargets(
  tx: Transaction<Tables>,
  targets: readonly Target[],
  now: Millis,
): Promise<Map<string, WindowRow>> {
  const distinct = [...new Map(targets.map((target) => [target.window, target])).values()];
  const keys = distinct.map(({ key }) => key);
  await ensureWindows(tx, keys, now);
  const windows = await lockWindows(tx, keys);
  const rolling = distinct.flatMap(({ key, budget: { rolling_ms: rollingMs } }) =>
    rollingMs === null ? [] : [{ ...key, rollingMs: Number(rollingMs) }],
  );
  for (const [name, window] of await rollWindows(tx, rolling, now)) windows.set(name, window);
  return windows;
}

function outcomeOf(ask: LeaseAsk, aimed: Aimed | undefined, decision: Decision | undefined): Outcome {
  if (aimed === undefined || decision === undefined) throw new Error('an ask without a decision');
  if ('gone' in aimed) return aimed;
  if ('refusedAt' in decision) {
    const refused = aimed.targets[decision.refusedAt];
    if (refused === undefined) throw new Error('a refusal of nothing');
    return { refused };
  }
  return {
    leases: aimed.targets.map(({ key }, index) => ({
      ...{ id: makeLeaseId(), window: key, ingress: ask.ingress },
      ...{ amount: decision.slices[index] ?? 0n, expiresInMs: LEASE_TTL_MS },
    })),
  };
}

async function writeLeases(tx: Transaction<Tables>, leases: readonly NewLease[]): Promise<void> {
  const leased = new Map<string, { key: WindowKey; spent: bigint; leased: bigint }>();
  for (const { window, amount } of leases) {
    const name = nameOfWindow(window);
    const change = leased.get(name) ?? { key: window, spent: 0n, leased: 0n };
    leased.set(name, { ...change, leased: change.leased + amount });
  }
  await changeWindows(tx, [...leased.values()], { mayExceed: false });
  await insertLeases(tx, leases);
}

function grantOf({ id, window, amount }: NewLease, now: Millis): LeaseGrant {
  return {
    ...{ lease: id, budget: window.budgetId, subject: window.subject },
    ...{ amountNanoUsd: Number(amount), ttlMs: LEASE_TTL_MS },
    ...(window.endsAt !== Infinity && { windowEndsInMs: window.endsAt - now }),
  };
}
