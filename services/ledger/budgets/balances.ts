import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { ChargeSum } from '../core/charges.ts';
import { chargesOf, sumUp } from '../core/charges.ts';
import { Settlement } from '../core/settle.ts';
import type { LiveBudget, TargetWindow } from '../core/targets.ts';
import { scopesAndPatterns, TargetFinder } from '../core/targets.ts';
import { crosses } from '../core/thresholds.ts';
import type { WindowKey } from '../core/windows.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { Tables } from '../database/schema.ts';
import { raiseAlerts } from './alerts.ts';
import { BalanceMemory } from './balance-memory.ts';
import { noteCrossings } from './crossings.ts';
import type { LeaseRow } from './lease-rows.ts';
import { changeLeases, readLeases, readOpenLeases } from './lease-rows.ts';
import { PartSums } from './part-sums.ts';
import type { WindowChange, WindowRow } from './window-rows.ts';
import { changeWindows, databaseEpochMs, ensureWindows, EPOCH_MS, lockWindows } from './window-rows.ts';

export interface MoveOptions {
  /** Told by how much the windows of a batch are further beyond their limits than before. */
  readonly onExcess?: ((nanoUsd: NanoUsd) => void) | undefined;
  /** One for all batches of a database; by default nothing is remembered. */
  readonly memory?: BalanceMemory;
}

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
 * @throws when a window has gone that was remembered; the next time it is not
 */
export async function moveBalances(
  tx: Transaction<Tables>,
  fresh: readonly UsageRecorded[],
  { onExcess, memory = new BalanceMemory() }: MoveOptions = {},
): Promise<void> {
  if (!memory.hasBudgets) {
    const { rows } = await sql`select from budgets where is_live limit 1`.execute(tx);
    if (rows.length === 0) return;
  }
  const charges = chargesOf(fresh);
  if (charges.length === 0) return;
  const payers = [...new Set(charges.map(({ payer }) => payer))];
  const { budgets, epochMs } = await readBudgets(
    tx,
    scopesAndPatterns(new Set(payers.flatMap(({ scopes }) => scopes))),
  );
  memory.hasBudgets = budgets.size > 0;
  const leaseIds = [...new Set(payers.flatMap(({ leases }) => leases))];
  const leaseWindows = await windowsOfLeases(tx, leaseIds, memory);
  if (budgets.size === 0 && leaseWindows.size === 0) return;
  const now = epochMs ?? (await databaseEpochMs(tx));

  const targets = new TargetFinder(budgets.values());
  const sums = sumUp(charges, ({ scopes, leases }, epochMs) => {
    const reserved = leases.flatMap((id) => leaseWindows.get(id) ?? []);
    return targets.windowsOf(scopes, epochMs, reserved);
  });
  const leased = [...leaseWindows.values()].filter((window) => !targets.has(window));
  const before = await makeAndLock(tx, { targets: targets.found, leased, now }, memory);
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
  if (excess > 0n) onExcess?.(excess);
}

interface AlertingBudget extends LiveBudget {
  readonly alertAt: readonly number[];
}

/** Those that exist. */
async function windowsOfLeases(
  tx: Transaction<Tables>,
  ids: readonly string[],
  memory: BalanceMemory,
): Promise<Map<string, WindowKey>> {
  const windows = new Map<string, WindowKey>();
  const unknown: string[] = [];
  for (const id of ids) {
    const window = memory.windowOf(id);
    if (window === undefined) unknown.push(id);
    else windows.set(id, window);
  }
  for (const { id, window } of await readLeases(tx, unknown)) {
    windows.set(id, window);
    memory.noteLease(id, window);
  }
  return windows;
}

/** @returns those that there are, by name */
async function makeAndLock(
  tx: Transaction<Tables>,
  { targets, leased, now }: { targets: readonly TargetWindow[]; leased: readonly WindowKey[]; now: Millis },
  memory: BalanceMemory,
): Promise<Map<string, WindowRow>> {
  const made = await ensureWindows(
    tx,
    targets.filter(({ name }) => !memory.hasWindow(name)),
    now,
  );
  const windows = await lockWindows(tx, [...targets, ...leased]);
  if (targets.some(({ name }) => memory.hasWindow(name) && !windows.has(name))) {
    memory.forget();
    throw new Error('A window of a budget has gone: this is not the database that was remembered. It is read anew.');
  }
  // What was made here is not there before this is committed.
  if (made === 0) for (const name of windows.keys()) memory.noteWindow(name);
  return windows;
}

/** The live ones of these scopes, by id, and the database's time, where there are any. */
async function readBudgets(
  tx: Transaction<Tables>,
  scopes: ReadonlySet<ScopeName>,
): Promise<{ readonly budgets: ReadonlyMap<string, AlertingBudget>; readonly epochMs: Millis | undefined }> {
  const rows = await tx
    .selectFrom('budgets')
    .select(['id', 'scope', 'per', 'time_zone', 'rolling_ms', 'alert_at', EPOCH_MS.as('now')])
    .where('is_live', '=', true)
    .where('scope', '=', sql<string>`any(${[...scopes]})`)
    .execute();
  const budgets = new Map(
    rows.map(({ id, scope, per, time_zone: timeZone, rolling_ms, alert_at: alertAt }) => {
      const rollingMs = rolling_ms === null ? null : Number(rolling_ms);
      return [id, { id, scope, per, timeZone, rollingMs, alertAt }];
    }),
  );
  return { budgets, epochMs: rows[0] && Number(rows[0].now) };
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
