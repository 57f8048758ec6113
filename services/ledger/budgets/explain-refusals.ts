import type { Selectable, Transaction } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { LeaseAnswer } from '../../../shared/messages/lease.ts';
import type { SliceAsk } from '../core/grant.ts';
import { freesAt } from '../core/rolling.ts';
import type { BudgetWindow, WindowKey } from '../core/windows.ts';
import { nameOfWindow } from '../core/windows.ts';
import type { BudgetsTable, Tables } from '../database/schema.ts';
import { readHolders } from './lease-rows.ts';
import type { WindowRow } from './window-rows.ts';
import { epochMsOf } from './window-rows.ts';

/** What an item of an ask is about. */
export interface Target extends SliceAsk<string> {
  readonly budget: Selectable<BudgetsTable>;
  readonly key: WindowKey & BudgetWindow;
}

type Refusal = NonNullable<LeaseAnswer['refused']>;

/**
 * Why these got nothing: the state of their windows, when there is more, and who holds a part of it.
 * @param windows as they are now, by name
 * @returns by the window's name
 */
export async function explainRefusals(
  tx: Transaction<Tables>,
  refused: readonly Target[],
  windows: ReadonlyMap<string, WindowRow>,
): Promise<Map<string, Refusal>> {
  const distinct = [...new Map(refused.map((target) => [target.window, target])).values()];
  const holders = new Map<string, string[]>();
  const holding = await readHolders(
    tx,
    distinct.map(({ key }) => key),
  );
  for (const { window, ingress } of holding) {
    const name = nameOfWindow(window);
    holders.set(name, [...(holders.get(name) ?? []), ingress]);
  }
  const refusals = new Map<string, Refusal>();
  for (const target of distinct) {
    const window = windows.get(target.window);
    const renewsEpochMs = await renewalOf(tx, target, window);
    refusals.set(target.window, {
      ...{ budget: target.budget.id, subject: target.key.subject, name: target.budget.name },
      limitNanoUsd: Number(window?.limit ?? target.budget.amount_nano_usd),
      spentNanoUsd: Number(window?.spent ?? 0n),
      leasedNanoUsd: Number(window?.leased ?? 0n),
      ...(renewsEpochMs !== undefined && { renewsEpochMs }),
      holders: holders.get(target.window) ?? [],
    });
  }
  return refusals;
}

/** When the window turns, or enough of it has left a rolling one. undefined: never, or when leases return. */
async function renewalOf(
  tx: Transaction<Tables>,
  { key, need, budget: { rolling_ms: rollingMs } }: Target,
  window: WindowRow | undefined,
): Promise<Millis | undefined> {
  if (rollingMs === null) return key.endsAt === Infinity ? undefined : key.endsAt;
  const parts = await tx
    .selectFrom('budget_parts')
    .select(['starts_at', 'spent_nano_usd'])
    .where('budget_id', '=', key.budgetId)
    .where('subject', '=', key.subject)
    .orderBy('starts_at')
    .execute();
  const available = window === undefined ? 0n : window.limit - window.spent - window.leased;
  return freesAt(
    Number(rollingMs),
    parts.map(({ starts_at, spent_nano_usd }) => ({ startsAt: epochMsOf(starts_at), spent: spent_nano_usd })),
    need - available,
  );
}
