import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { WindowKey } from '../core/windows.ts';
import type { Tables } from '../database/schema.ts';
import { rowOfKey } from './window-rows.ts';

/**
 * An alert for each threshold that a window has reached, once in its life. A rolling budget, whose window never ends, is
 * told of once in each of its lengths. It is told of by `deliverAlerts`, when this is committed.
 */
const INSERT = sql.raw(`
  insert into budget_alerts
    (budget_id, subject, starts_at, percent, spent_nano_usd, limit_nano_usd, next_delivery_at)
  select w.budget_id, w.subject,
    case when b.per = 'rolling'
      then to_timestamp(floor(extract(epoch from now()) * 1000 / b.rolling_ms) * b.rolling_ms / 1000)
      else w.starts_at end,
    threshold.percent, w.spent_nano_usd, w.limit_nano_usd, now()
  from budget_windows w
  join budgets b on b.id = w.budget_id and b.is_live
  cross join unnest(b.alert_at) as threshold(percent)`);
const REACHED = sql.raw(`w.spent_nano_usd > 0 and w.spent_nano_usd * 100 >= w.limit_nano_usd * threshold.percent`);

/** In these windows, because of what was spent. */
export async function raiseAlerts(tx: Transaction<Tables>, windows: readonly WindowKey[]): Promise<void> {
  if (windows.length === 0) return;
  await sql`${INSERT}
    join json_to_recordset(${JSON.stringify(windows.map(rowOfKey))})
      as k(budget_id text, subject text, starts_at timestamptz)
      on k.budget_id = w.budget_id and k.subject = w.subject and k.starts_at = w.starts_at
    where ${REACHED} on conflict do nothing`.execute(tx);
}

/** In the open windows of a budget whose limit or thresholds were changed. */
export async function raiseAlertsOf(tx: Transaction<Tables>, budgetId: string): Promise<void> {
  await sql`${INSERT}
    where w.budget_id = ${budgetId} and w.ends_at > now() and ${REACHED} on conflict do nothing`.execute(tx);
}
