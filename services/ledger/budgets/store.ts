import { randomUUIDv7 } from 'node:crypto';
import type { Selectable, Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Period } from '../../../shared/budgets.ts';
import {
  ALERT_PERCENT,
  DEFAULT_ALERT_AT,
  defaultBudgetName,
  isTimeZone,
  MAX_ALERTS,
  MAX_BUDGET_NAME_CHARS,
  MAX_BUDGET_NANO_USD,
  PERIODS,
  ROLLING_MS,
} from '../../../shared/budgets.ts';
import type { Millis } from '../../../shared/clock.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { OnBudgetEnd } from '../../../shared/messages/rules.ts';
import { parseScope } from '../../../shared/scope.ts';
import { bumpRevision } from '../rules/revision.ts';
import type { BudgetsTable, Database, Tables } from '../database/schema.ts';
import { raiseAlertsOf } from './alerts.ts';
import { databaseEpochMs } from './window-rows.ts';

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1_000;

export interface NewBudget {
  /** What people call it; default: its scope and period. */
  readonly name?: string | undefined;
  /** Of shared/scope.ts; a pattern (`user:*`) is a budget for each apart. */
  readonly scope: string;
  readonly amountNanoUsd: number;
  readonly per: Period;
  /** Of a `rolling` budget, and only of that. */
  readonly rollingMs?: number | null | undefined;
  /** Default `UTC`. */
  readonly timeZone?: string | undefined;
  /** Default true. */
  readonly isHard?: boolean | undefined;
  /** Default `reject`. */
  readonly onLimit?: OnBudgetEnd | undefined;
  /** Percent of the limit; default 50, 80 and 100. */
  readonly alertAt?: readonly number[] | undefined;
}

/** What may be changed. Another scope or period is another budget. */
export type BudgetChange = Partial<Pick<NewBudget, 'name' | 'amountNanoUsd' | 'isHard' | 'onLimit' | 'alertAt'>>;

export interface BudgetRaise {
  /** 0 ends a raise. */
  readonly byNanoUsd: number;
  readonly untilEpochMs: Millis;
}

export interface BudgetRecord {
  readonly id: string;
  readonly name: string;
  readonly scope: string;
  readonly amountNanoUsd: number;
  readonly per: Period;
  readonly rollingMs: number | null;
  readonly timeZone: string;
  readonly isHard: boolean;
  readonly onLimit: OnBudgetEnd;
  readonly alertAt: readonly number[];
  /** 0: it is not raised. */
  readonly raisedByNanoUsd: number;
  readonly raisedUntilEpochMs: number | null;
  /** Written in the configuration file, and changed only there. */
  readonly isConfigured: boolean;
  /** Grows with each change: its ETag. */
  readonly version: number;
  readonly createdEpochMs: number;
  readonly updatedEpochMs: number;
}

/** @throws GatewayError(`invalid_request`, param: the field at fault) */
export async function createBudget(tx: Transaction<Tables>, budget: NewBudget): Promise<BudgetRecord> {
  const row = {
    ...columnsOf(checkBudget(budget)),
    id: `bud_${randomUUIDv7().replaceAll('-', '')}`,
  };
  const made = await tx.insertInto('budgets').values(row).returningAll().executeTakeFirstOrThrow();
  await bumpRevision(tx);
  return recordOf(made);
}

/** @throws GatewayError(`not_found`) */
export async function getBudget(db: Database, id: string): Promise<BudgetRecord> {
  const row = await db
    .selectFrom('budgets')
    .selectAll()
    .where('id', '=', id)
    .where('is_live', '=', true)
    .executeTakeFirst();
  if (row === undefined) throw unknownBudget(id);
  return recordOf(row);
}

export interface BudgetFilter {
  readonly scope?: string | undefined;
  /** The id of the last one of the page before. */
  readonly after?: string | undefined;
  /** 1..1000, default 100. */
  readonly limit?: number | undefined;
}

/** A page of those that hold, by id: the configured ones come last, the others oldest first. */
export async function listBudgets(db: Database, { scope, after, limit }: BudgetFilter = {}): Promise<BudgetRecord[]> {
  let query = db.selectFrom('budgets').selectAll().where('is_live', '=', true).orderBy('id');
  if (scope !== undefined) query = query.where('scope', '=', scope);
  if (after !== undefined) query = query.where('id', '>', after);
  const rows = await query.limit(Math.min(MAX_PAGE, Math.max(1, limit ?? DEFAULT_PAGE))).execute();
  return rows.map(recordOf);
}

/**
 * Changes a budget, and with its amount the limits of its open windows: spending that is then beyond the limit becomes
 * excess.
 * @param ifVersion only if it still is of this version
 * @throws GatewayError `not_found`, `invalid_request` (param: the field at fault), `precondition_failed`, or `conflict` for
 *   one of the configuration file
 */
export async function updateBudget(
  tx: Transaction<Tables>,
  id: string,
  change: BudgetChange,
  ifVersion?: number,
): Promise<BudgetRecord> {
  const before = await lockBudget(tx, id, ifVersion);
  if (before.isConfigured) throw configuredBudget(before);
  const after = checkBudget({ ...before, ...withoutAbsent(change) });
  checkSum(after.amountNanoUsd, before.raisedByNanoUsd, 'amountNanoUsd');
  return writeBudget(tx, id, columnsOf(after));
}

/** From now on it holds for nobody. Its windows stay, as the account of what was. @throws as `updateBudget` */
export async function removeBudget(tx: Transaction<Tables>, id: string, ifVersion?: number): Promise<BudgetRecord> {
  const before = await lockBudget(tx, id, ifVersion);
  if (before.isConfigured) throw configuredBudget(before);
  return writeBudget(tx, id, { is_live: false });
}

/**
 * Raises the limit for a time: of the open windows, and of those that open until then. It replaces an earlier raise.
 * A configured budget can be raised, too.
 * @throws as `updateBudget`
 */
export async function raiseBudget(
  tx: Transaction<Tables>,
  id: string,
  { byNanoUsd, untilEpochMs }: BudgetRaise,
  ifVersion?: number,
): Promise<BudgetRecord> {
  const before = await lockBudget(tx, id, ifVersion);
  if (!isAmount(byNanoUsd)) throw invalid('byNanoUsd', amountRule());
  checkSum(before.amountNanoUsd, byNanoUsd, 'byNanoUsd');
  const isRaise = byNanoUsd > 0;
  if (isRaise && !(Number.isSafeInteger(untilEpochMs) && untilEpochMs > (await databaseEpochMs(tx))))
    throw invalid('untilEpochMs', 'is in the future');
  return writeBudget(tx, id, {
    raised_by_nano_usd: BigInt(byNanoUsd),
    raised_until: isRaise ? new Date(untilEpochMs) : null,
  });
}

/**
 * Takes back raises whose time is over, with the limits of the windows that they were for.
 * @param ids only of these
 */
export async function takeBackRaises(
  tx: Transaction<Tables>,
  nowEpochMs: Millis,
  ids?: readonly string[],
): Promise<BudgetRecord[]> {
  let query = tx
    .selectFrom('budgets')
    .select('id')
    .where('raised_until', '<=', new Date(nowEpochMs))
    .orderBy('id')
    .forUpdate();
  if (ids !== undefined) query = query.where('id', '=', sql<string>`any(${ids})`);
  const taken: BudgetRecord[] = [];
  for (const { id } of await query.execute()) {
    taken.push(await writeBudget(tx, id, { raised_by_nano_usd: 0n, raised_until: null }));
  }
  return taken;
}

type BudgetUpdate = Partial<ReturnType<typeof columnsOf>> & {
  readonly is_live?: boolean;
  readonly raised_by_nano_usd?: bigint;
  readonly raised_until?: Date | null;
};

/** Writes a budget whose row is locked, and the limits of its open windows: the row first, the windows after it. */
export async function writeBudget(tx: Transaction<Tables>, id: string, columns: BudgetUpdate): Promise<BudgetRecord> {
  const row = await tx
    .updateTable('budgets')
    .set({ ...columns, version: sql<bigint>`version + 1`, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const limit = row.amount_nano_usd + row.raised_by_nano_usd;
  await sql`
    with locked as (
      select subject, starts_at from budget_windows
      where budget_id = ${id} and ends_at > now() and limit_nano_usd <> ${limit}
      order by subject, starts_at for no key update
    )
    update budget_windows w set
      limit_nano_usd = ${limit}::bigint,
      excess_nano_usd = greatest(0, w.spent_nano_usd + w.leased_nano_usd - ${limit}::bigint)
    from locked where w.budget_id = ${id} and w.subject = locked.subject and w.starts_at = locked.starts_at`.execute(
    tx,
  );
  if (row.is_live) await raiseAlertsOf(tx, id);
  await bumpRevision(tx);
  return recordOf(row);
}

/** @throws GatewayError `not_found` or `precondition_failed` */
async function lockBudget(tx: Transaction<Tables>, id: string, ifVersion: number | undefined): Promise<BudgetRecord> {
  const row = await tx
    .selectFrom('budgets')
    .selectAll()
    .where('id', '=', id)
    .where('is_live', '=', true)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw unknownBudget(id);
  const budget = recordOf(row);
  if (ifVersion !== undefined && budget.version !== ifVersion) {
    throw new GatewayError('precondition_failed', `The budget "${budget.name}" was changed meanwhile.`);
  }
  return budget;
}

type CompleteBudget = Required<{ [Field in keyof NewBudget]: Exclude<NewBudget[Field], undefined> }>;

/** With every default. @throws GatewayError(`invalid_request`, param: the field at fault) */
export function checkBudget(budget: NewBudget): CompleteBudget {
  const { scope, amountNanoUsd, per, rollingMs = null, timeZone = 'UTC', isHard = true } = budget;
  const { onLimit = { kind: 'reject' }, alertAt = DEFAULT_ALERT_AT } = budget;
  const { name = defaultBudgetName(scope, per) } = budget;
  if (parseScope(scope) === undefined)
    throw invalid('scope', 'is `total`, or a kind and an id such as `team:search` or `user:*`');
  if (!isAmount(amountNanoUsd)) throw invalid('amountNanoUsd', amountRule());
  if (!PERIODS.includes(per)) throw invalid('per', `is one of ${PERIODS.join(', ')}`);
  if (per === 'rolling' ? !isWithin(rollingMs, ROLLING_MS) : rollingMs !== null)
    throw invalid('rollingMs', 'is from 1 minute to 366 days, and given for `rolling` budgets only');
  if (!isTimeZone(timeZone)) throw invalid('timeZone', 'is the name of a time zone, such as Europe/Berlin');
  if (!OnBudgetEnd.safeParse(onLimit).success)
    throw invalid('onLimit', 'is of the kind `reject`, `downgrade` (with `to`) or `queue`');
  if (alertAt.length > MAX_ALERTS || !alertAt.every((percent) => isWithin(percent, ALERT_PERCENT)))
    throw invalid('alertAt', `has up to ${MAX_ALERTS} whole percents from 1 to ${ALERT_PERCENT.max}`);
  // eslint-disable-next-line no-control-regex -- control characters are what must not pass
  if (name.trim() !== name || name === '' || name.length > MAX_BUDGET_NAME_CHARS || /[\u0000-\u001f\u007f]/.test(name))
    throw invalid(
      'name',
      `has 1 to ${MAX_BUDGET_NAME_CHARS} characters, without control characters or spaces around it`,
    );
  const thresholds = [...new Set(alertAt)].sort((a, b) => a - b);
  return { name, scope, amountNanoUsd, per, rollingMs, timeZone, isHard, onLimit, alertAt: thresholds };
}

export function columnsOf(budget: CompleteBudget) {
  return {
    ...{ name: budget.name, scope: budget.scope, per: budget.per, time_zone: budget.timeZone },
    amount_nano_usd: BigInt(budget.amountNanoUsd),
    rolling_ms: budget.rollingMs === null ? null : BigInt(budget.rollingMs),
    is_hard: budget.isHard,
    on_limit: JSON.stringify(budget.onLimit),
    alert_at: [...budget.alertAt],
  };
}

export function recordOf(row: Selectable<BudgetsTable>): BudgetRecord {
  return {
    ...{ id: row.id, name: row.name, scope: row.scope, per: row.per, timeZone: row.time_zone },
    amountNanoUsd: Number(row.amount_nano_usd),
    rollingMs: row.rolling_ms === null ? null : Number(row.rolling_ms),
    isHard: row.is_hard,
    onLimit: OnBudgetEnd.parse(row.on_limit),
    alertAt: row.alert_at,
    raisedByNanoUsd: Number(row.raised_by_nano_usd),
    raisedUntilEpochMs: row.raised_until?.getTime() ?? null,
    isConfigured: row.is_configured,
    version: Number(row.version),
    createdEpochMs: row.created_at.getTime(),
    updatedEpochMs: row.updated_at.getTime(),
  };
}

function withoutAbsent(change: BudgetChange): BudgetChange {
  const { name, amountNanoUsd, isHard, onLimit, alertAt } = change;
  return {
    ...(name !== undefined && { name }),
    ...(amountNanoUsd !== undefined && { amountNanoUsd }),
    ...(isHard !== undefined && { isHard }),
    ...(onLimit !== undefined && { onLimit }),
    ...(alertAt !== undefined && { alertAt }),
  };
}

function isWithin(value: unknown, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

function isAmount(value: unknown): boolean {
  return isWithin(value, { min: 0, max: MAX_BUDGET_NANO_USD });
}

function amountRule(): string {
  return `is a whole number of nano-dollars from 0 to ${MAX_BUDGET_NANO_USD}`;
}

function checkSum(amountNanoUsd: number, raisedByNanoUsd: number, param: string): void {
  if (amountNanoUsd + raisedByNanoUsd > MAX_BUDGET_NANO_USD)
    throw invalid(param, `comes to at most ${MAX_BUDGET_NANO_USD} nano-dollars together with the raise`);
}

function invalid(param: keyof NewBudget | keyof BudgetRaise | (string & {}), rule: string): GatewayError {
  return new GatewayError('invalid_request', `A budget's \`${param}\` ${rule}.`, { param });
}

function unknownBudget(id: string): GatewayError {
  return new GatewayError('not_found', `There is no budget "${id.slice(0, 64)}".`, { param: 'id' });
}

function configuredBudget({ name }: BudgetRecord): GatewayError {
  return new GatewayError('conflict', `The budget "${name}" is in the configuration file: change it there.`);
}
