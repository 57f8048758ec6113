import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { BudgetCharge, ChargeSum } from '../core/charges.ts';
import { chargesOf, sumUp } from '../core/charges.ts';
import { Settlement } from '../core/settle.ts';
import type { LiveBudget } from '../core/targets.ts';
import { scopesAndPatterns, TargetFinder } from '../core/targets.ts';
import { crosses } from '../core/thresholds.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { Tables } from '../database/schema.ts';
import { raiseAlerts } from './alerts.ts';
import { noteCrossings } from './crossings.ts';
import type { LeaseRow } from './lease-rows.ts';
import { changeLeases, readLeases, readOpenLeases } from './lease-rows.ts';
import { PartSums } from './part-sums.ts';
import type { WindowChange, WindowRow } from './window-rows.ts';
import { changeWindows, databaseEpochMs, ensureWindows, lockWindows } from './window-rows.ts';

/** Told by how much the windows of a batch are further beyond their limits than before. */
export type OnExcess = (nanoUsd: NanoUsd) => void;

/**
 * Moves what new events cost to spent, in the window of every live budget that they fall under, and out of the leases it
 * was reserved from. By the events' scopes, not by their leases, so that a balance is the sum of its events; which window it
 * is, is the lease's where there is one, so that the clocks of two machines cannot part the two. What no lease covers and
 * the limit has no room for is added to `excess`.
 *
 * A budget counts what is recorded from its creation on: which budgets there are is asked anew each time, by an index.
 *
 * Comes last in its transaction: rows are locked in the order of `lockWindows`, and nothing else after them.
 * @param fresh events that were not recorded before
 */
export async function moveBalances(
  tx: Transaction<Tables>,
  fresh: readonly UsageRecorded[],
  onExcess?: OnExcess,
): Promise<void> {
  const { rows } = await sql`select from budgets where is_live limit 1`.execute(tx);
  if (rows.length > 0) await chargeBalances(tx, chargesOf(fresh), onExcess);
}

/** As `moveBalances`, for anything that costs. */
export async function chargeBalances(
  tx: Transaction<Tables>,
  charges: readonly BudgetCharge[],
  onExcess: OnExcess = () => undefined,
): Promise<void> {
  if (charges.length === 0) return;
  const payers = [...new Set(charges.map(({ payer }) => payer))];
  const budgets = await readBudgets(tx, scopesAndPatterns(new Set(payers.flatMap(({ scopes }) => scopes))));
  const leaseIds = [...new Set(payers.flatMap(({ leases }) => leases))];
  const named = new Map((await readLeases(tx, leaseIds)).map((lease) => [lease.id, lease]));
  if (budgets.size === 0 && named.size === 0) return;

  const targets = new TargetFinder(budgets.values());
  const sums = sumUp(charges, ({ scopes, leases }, epochMs) => {
    const reserved = leases.flatMap((id) => named.get(id)?.window ?? []);
    return targets.windowsOf(scopes, epochMs, reserved);
  });
  const now = await databaseEpochMs(tx);
  await ensureWindows(tx, targets.found, now);
  const leased = Array.from(named.values(), ({ window }) => window).filter((window) => !targets.has(window));
  const before = await lockWindows(tx, [...targets.found, ...leased]);
  const leases = await readLeases(tx, leaseIds);

  const parts = new PartSums(now);
  const settlement = settle(sums, leases, parts);
  const moved = await moveLeases(tx, settlement, before, leases);
  const changes = changesOf(before, settlement, moved);
  const after = await changeWindows(tx, changes, { mayExceed: true });
  await parts.write(tx);
  await noteCrossings(tx, before, after);
  const crossed = changes.filter(({ key, window }) => {
    const current = after.get(nameOfWindow(key));
    const alertAt = budgets.get(key.budgetId)?.alertAt ?? [];
    return current !== undefined && crosses(alertAt, current.limit, { before: window.spent, after: current.spent });
  });
  await raiseAlerts(
    tx,
    crossed.map(({ key }) => key),
  );
  const excess = excessBetween(before, after);
  if (excess > 0n) onExcess(excess);
}

interface AlertingBudget extends LiveBudget {
  readonly alertAt: readonly number[];
}

/** The live ones of these scopes, by id. */
async function readBudgets(
  tx: Transaction<Tables>,
  scopes: ReadonlySet<ScopeName>,
): Promise<Map<string, AlertingBudget>> {
  const rows = await tx
    .selectFrom('budgets')
    .select(['id', 'scope', 'per', 'time_zone', 'rolling_ms', 'alert_at'])
    .where('is_live', '=', true)
    .where('scope', '=', sql<string>`any(${[...scopes]})`)
    .execute();
  return new Map(
    rows.map(({ id, scope, per, time_zone: timeZone, rolling_ms, alert_at: alertAt }) => {
      const rollingMs = rolling_ms === null ? null : Number(rolling_ms);
      return [id, { id, scope, per, timeZone, rollingMs, alertAt }];
    }),
  );
}

function settle(sums: readonly ChargeSum[], leases: readonly LeaseRow[], parts: PartSums): Settlement {
  const settlement = new Settlement();
  const open = new Map(leases.map((lease) => [lease.id, openOf(lease)]));
  for (const { payer, windows, epochMs, cost } of sums) {
    const counted = windows.filter((window) => parts.add(window, epochMs, cost)).map(({ name }) => name);
    settlement.add({ cost, windows: counted, leases: payer.leases, ingress: payer.ingress }, open);
  }
  return settlement;
}

function openOf({ id, window, ingress, amount, settled, isClosed }: LeaseRow) {
  return { id, window: nameOfWindow(window), ingress, open: isClosed ? 0n : amount - settled };
}

/** Writes what was settled of leases. @returns it, by the window's name */
async function moveLeases(
  tx: Transaction<Tables>,
  settlement: Settlement,
  windows: ReadonlyMap<string, WindowRow>,
  named: readonly LeaseRow[],
): Promise<Map<string, NanoUsd>> {
  const holders = settlement.shortages.flatMap(({ window: name, ingress }) => {
    const window = windows.get(name);
    return window === undefined ? [] : [{ window, ingress }];
  });
  const ids = new Set(named.map(({ id }) => id));
  const others = (await readOpenLeases(tx, holders)).filter(({ id }) => !ids.has(id));
  settlement.coverShortages(others.map(openOf));

  const moved = new Map<string, NanoUsd>();
  const changed = [...named, ...others].flatMap((lease) => {
    const amount = settlement.settled.get(lease.id);
    if (amount === undefined) return [];
    const name = nameOfWindow(lease.window);
    moved.set(name, (moved.get(name) ?? 0n) + amount);
    return [{ ...lease, settled: lease.settled + amount }];
  });
  await changeLeases(tx, changed);
  return moved;
}

function changesOf(
  windows: ReadonlyMap<string, WindowRow>,
  { spent }: Settlement,
  moved: ReadonlyMap<string, NanoUsd>,
): (WindowChange & { readonly window: WindowRow })[] {
  return Array.from(windows, ([name, window]) => ({
    ...{ key: window, window, spent: spent.get(name) ?? 0n, leased: -(moved.get(name) ?? 0n) },
  })).filter((change) => change.spent !== 0n || change.leased !== 0n);
}

function excessBetween(before: ReadonlyMap<string, WindowRow>, after: ReadonlyMap<string, WindowRow>): NanoUsd {
  let sum = 0n;
  for (const [name, { excess }] of after) {
    const more = excess - (before.get(name)?.excess ?? 0n);
    if (more > 0n) sum += more;
  }
  return sum;
}
