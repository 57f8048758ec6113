import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { Clock, Millis } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import { formatDollars } from '../../../shared/money.ts';
import type { NanoUsd } from '../../../shared/money.ts';
import { backoffMs } from '../core/backoff.ts';
import type { Database } from '../database/schema.ts';
import type { BudgetMetrics } from './metrics.ts';
import type { Webhook } from './webhook.ts';
import { postSigned } from './webhook.ts';
import { epochMsOf } from './window-rows.ts';

/** Of one round: they are posted at the same time. */
const BATCH = 16;
/** Longer than a round takes: a ledger that dies in it leaves its alerts to the next one. */
const CLAIM_MS = 60_000;
const BACKOFF = { firstMs: 5_000, longestMs: 30 * 60_000 };
/** A receiver that is away for longer learns of it from the log, or from the budget's state. */
const GIVE_UP_AFTER_MS = 24 * 60 * 60_000;

export interface AlertDeps {
  readonly db: Database;
  readonly clock: Pick<Clock, 'epochMs'>;
  readonly log: Log;
  readonly random: () => number;
  readonly metrics: Pick<BudgetMetrics, 'alerts' | 'delivered' | 'undelivered'>;
  readonly webhooks: readonly Webhook[];
}

interface DueAlert {
  readonly budget_id: string;
  readonly subject: string;
  readonly starts_at: Date | number;
  readonly percent: number;
  readonly spent_nano_usd: NanoUsd;
  readonly limit_nano_usd: NanoUsd;
  readonly raised_at: Date;
  readonly deliveries: number;
  readonly delivered_to: readonly string[];
  readonly name: string;
  readonly scope: string;
  readonly is_hard: boolean;
}

/**
 * Logs and posts alerts that are due. Each is claimed before, so that of several ledgers one delivers it; what a ledger
 * claimed and did not bring to an end, because it died, is due again a minute later. So a webhook gets each alert at least
 * once; `id` in its body tells a second one.
 * @returns whether there may be more
 * @throws what Postgres said
 */
export async function deliverAlerts(deps: AlertDeps): Promise<boolean> {
  const due = await claim(deps.db);
  await Promise.all(due.map((alert) => deliver(alert, deps)));
  return due.length === BATCH;
}

async function claim(db: Database): Promise<DueAlert[]> {
  const { rows } = await sql<DueAlert>`
    with due as (
      select budget_id, subject, starts_at, percent from budget_alerts
      where delivered_at is null and next_delivery_at <= now()
      order by next_delivery_at limit ${BATCH}
      for update skip locked
    )
    update budget_alerts a
    set deliveries = a.deliveries + 1, next_delivery_at = now() + ${CLAIM_MS}::float8 * interval '1 ms'
    from due, budgets b
    where (a.budget_id, a.subject, a.starts_at, a.percent) = (due.budget_id, due.subject, due.starts_at, due.percent)
      and b.id = a.budget_id
    returning a.*, b.name, b.scope, b.is_hard`.execute(db);
  return rows;
}

async function deliver(alert: DueAlert, { db, clock, log, random, metrics, webhooks }: AlertDeps): Promise<void> {
  const shown = shownOf(alert);
  if (alert.deliveries === 1) {
    metrics.alerts.inc();
    log.warn({ alert: shown }, 'budget threshold reached');
  }
  const body = JSON.stringify(shown);
  const open = webhooks.filter(({ url }) => !alert.delivered_to.includes(digestOf(url)));
  const failures = await Promise.all(open.map((webhook) => postSigned(webhook, body, clock.epochMs())));
  const taken = open.filter((_, index) => failures[index] === null);
  metrics.delivered.inc(taken.length);
  metrics.undelivered.inc(open.length - taken.length);
  const isLast = clock.epochMs() - alert.raised_at.getTime() >= GIVE_UP_AFTER_MS;
  for (const [index, { url }] of open.entries()) {
    const reason = failures[index] ?? null;
    if (reason === null) continue;
    // Of a URL only the host: the rest may be a secret.
    const seen = { alert: shown.id, host: new URL(url).host, reason, deliveries: alert.deliveries };
    if (isLast) log.error(seen, 'budget alert not delivered: given up');
    else log.warn(seen, 'budget alert not delivered');
  }
  const isDone = taken.length === open.length;
  const retryInMs = isDone || isLast ? null : backoffMs(alert.deliveries, random, BACKOFF);
  await settle(db, alert, { isDone, retryInMs, taken: taken.map(({ url }) => digestOf(url)) });
}

interface Settled {
  readonly isDone: boolean;
  /** null: never. */
  readonly retryInMs: Millis | null;
  readonly taken: readonly string[];
}

async function settle(db: Database, alert: DueAlert, { isDone, retryInMs, taken }: Settled): Promise<void> {
  await db
    .updateTable('budget_alerts')
    .set({
      delivered_at: isDone ? sql<Date>`now()` : null,
      next_delivery_at: retryInMs === null ? null : sql<Date>`now() + ${retryInMs}::float8 * interval '1 ms'`,
      delivered_to: sql<string[]>`delivered_to || ${[...taken]}::text[]`,
    })
    .where('budget_id', '=', alert.budget_id)
    .where('subject', '=', alert.subject)
    .where('starts_at', '=', alert.starts_at)
    .where('percent', '=', alert.percent)
    .execute();
}

/** What a webhook gets. Amounts are nano-dollars, and the same as text in dollars. */
function shownOf(alert: DueAlert) {
  const { budget_id, subject, percent, spent_nano_usd, limit_nano_usd, raised_at, name, scope, is_hard } = alert;
  const startsAt = epochMsOf(alert.starts_at);
  return {
    id: digestOf([budget_id, subject, startsAt, percent].join('\0')).slice(0, 32),
    type: 'budget.threshold_reached',
    at: raised_at.toISOString(),
    budget: { id: budget_id, name, scope, is_hard },
    subject,
    percent,
    ...{ spent_usd: formatDollars(spent_nano_usd), limit_usd: formatDollars(limit_nano_usd) },
    ...{ spent_nano_usd: Number(spent_nano_usd), limit_nano_usd: Number(limit_nano_usd) },
    window_starts_at: Number.isFinite(startsAt) ? new Date(startsAt).toISOString() : null,
  };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
