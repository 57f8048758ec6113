import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import { leftBefore, partOf } from '../core/rolling.ts';
import type { TargetWindow } from '../core/targets.ts';
import type { Tables } from '../database/schema.ts';
import { timestampOf } from './window-rows.ts';

/** What is added to the parts of rolling budgets, summed for one batch. */
export class PartSums {
  readonly #now: Millis;
  readonly #sums = new Map<string, { readonly window: TargetWindow; readonly startsAt: Millis; spent: NanoUsd }>();

  constructor(nowEpochMs: Millis) {
    this.#now = nowEpochMs;
  }

  /** false: it is so late that it has left the window's length already, and counts nothing there. */
  add(window: TargetWindow, epochMs: Millis, cost: NanoUsd): boolean {
    if (window.rollingMs === null) return true;
    const startsAt = partOf(window.rollingMs, epochMs);
    if (startsAt <= leftBefore(window.rollingMs, this.#now)) return false;
    const name = `${startsAt}\0${window.name}`;
    const sum = this.#sums.get(name);
    if (sum === undefined) this.#sums.set(name, { window, startsAt, spent: cost });
    else sum.spent += cost;
    return true;
  }

  /** Under the locks of their windows. */
  async write(tx: Transaction<Tables>): Promise<void> {
    if (this.#sums.size === 0) return;
    const rows = Array.from(this.#sums.values(), ({ window, startsAt, spent }) => ({
      ...{ budget_id: window.budgetId, subject: window.subject },
      ...{ starts_at: timestampOf(startsAt), spent: spent.toString() },
    }));
    await sql`
      insert into budget_parts as p (budget_id, subject, starts_at, spent_nano_usd)
      select budget_id, subject, starts_at, spent from json_to_recordset(${JSON.stringify(rows)})
        as k(budget_id text, subject text, starts_at timestamptz, spent bigint)
      on conflict (budget_id, subject, starts_at)
      do update set spent_nano_usd = p.spent_nano_usd + excluded.spent_nano_usd`.execute(tx);
  }
}
