import type { RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { Database } from './schema.ts';

export type UsageDimension =
  'key' | 'model' | 'route' | 'deployment' | 'team' | 'error' | 'reason' | 'variant' | 'lane' | 'day';

export interface UsageFilter {
  /** Attempts that began at or after this. */
  readonly sinceEpochMs?: number | undefined;
  /** Attempts that began before this. */
  readonly untilEpochMs?: number | undefined;
  /** A key's id or name. */
  readonly key?: string | undefined;
  /** As the client named it. */
  readonly model?: string | undefined;
  readonly team?: string | undefined;
}

export interface UsageQuery extends UsageFilter {
  /** Empty: one row, the sum of all. */
  readonly groupBy: readonly UsageDimension[];
  /** At most this many groups, the dearest first (with `day`: the latest first); default 1000. */
  readonly limit?: number | undefined;
}

/** Average, median and 95th percentile in milliseconds; null when nothing was measured. */
export interface Spread {
  readonly avg: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
}

export interface UsageRow {
  /** A value for each dimension of `groupBy`, null where attempts have none (no team, no route, no error). `day` is a UTC date, `2026-11-20`. */
  readonly group: Partial<Record<UsageDimension, string | null>>;
  /** attempts = succeeded + errors + cancelled */
  readonly attempts: number;
  readonly succeeded: number;
  readonly errors: number;
  /** The client went away before the end. */
  readonly cancelled: number;
  readonly inputTokens: number;
  /** Part of `inputTokens`. */
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** Part of `outputTokens`. */
  readonly reasoningTokens: number;
  /** Of the attempts whose price is known. */
  readonly costNanoUsd: bigint;
  readonly attemptsWithUnknownPrice: number;
  /** Whose tokens are our own count, because the provider told none. */
  readonly attemptsEstimated: number;
  readonly ttftMs: Spread;
  readonly durationMs: Spread;
}

export interface RecentAttempt {
  readonly attemptId: string;
  readonly requestId: string;
  readonly attempt: number;
  readonly startedEpochMs: number;
  readonly keyName: string;
  readonly team: string | null;
  readonly model: string;
  readonly route: string | null;
  readonly deployment: string;
  /** Why this deployment; null: recorded before that was told. */
  readonly reason: string | null;
  readonly variant: string | null;
  readonly lane: string;
  readonly isStream: boolean;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly isEstimated: boolean;
  /** null: no price is known. */
  readonly costNanoUsd: bigint | null;
  readonly ttftMs: number | null;
  readonly durationMs: number;
  readonly finish: string | null;
  /** null: it succeeded. */
  readonly error: string | null;
}

const DEFAULT_GROUPS = 1_000;
const MAX_GROUPS = 100_000;
const MAX_RECENT = 10_000;
const CANCELLED = 'client_closed_request';
/** The lane of attempts that name none. */
const INTERACTIVE = 'interactive';

/** `by` makes the groups, `shown` names them: two keys may have had one name, one after the other. */
const DIMENSIONS: Record<UsageDimension, { by: RawBuilder<unknown>; shown: RawBuilder<string | null> }> = {
  key: { by: sql`key_id`, shown: sql`max(key_name)` },
  model: { by: sql`model`, shown: sql`model` },
  deployment: { by: sql`deployment`, shown: sql`deployment` },
  team: { by: sql`team`, shown: sql`team` },
  error: { by: sql`error`, shown: sql`error` },
  route: { by: sql`route`, shown: sql`route` },
  reason: { by: sql`reason`, shown: sql`reason` },
  variant: { by: sql`variant`, shown: sql`variant` },
  lane: { by: lane(), shown: lane() },
  day: { by: utcDay(), shown: utcDay() },
};

/** What was used, summed by group. */
export async function reportUsage(db: Database, query: UsageQuery): Promise<UsageRow[]> {
  const dimensions = [...new Set(query.groupBy)];
  const names = dimensions.map(
    (dimension) => sql`${DIMENSIONS[dimension].shown} as ${sql.ref(`group_${dimension}`)}, `,
  );
  // `()` is the group of everything, which is there even when nothing is.
  const groups = dimensions.length === 0 ? sql`()` : sql.join(dimensions.map((dimension) => DIMENSIONS[dimension].by));
  const order = dimensions.includes('day')
    ? sql`${utcDay()} desc, cost desc, attempts desc`
    : sql`cost desc, attempts desc`;
  const { rows } = await sql<TotalsRow>`
    select ${sql.join(names, sql``)}
      count(*) as attempts,
      count(*) filter (where error is null) as succeeded,
      count(*) filter (where error = ${CANCELLED}) as cancelled,
      coalesce(sum(input_tokens), 0) as input_tokens,
      coalesce(sum(cached_input_tokens), 0) as cached_input_tokens,
      coalesce(sum(output_tokens), 0) as output_tokens,
      coalesce(sum(reasoning_tokens), 0) as reasoning_tokens,
      coalesce(sum(cost_nano_usd), 0) as cost,
      count(*) filter (where cost_nano_usd is null) as unknown_price,
      count(*) filter (where is_estimated) as estimated,
      avg(ttft_ms)::float8 as ttft_avg,
      percentile_cont(array[0.5, 0.95]) within group (order by ttft_ms) as ttft_percentiles,
      avg(duration_ms)::float8 as duration_avg,
      percentile_cont(array[0.5, 0.95]) within group (order by duration_ms) as duration_percentiles
    from attempts
    where ${conditions(query)}
    group by ${groups}
    order by ${order}
    limit ${Math.min(query.limit ?? DEFAULT_GROUPS, MAX_GROUPS)}`.execute(db);
  return rows.map((row) => usageRow(row, dimensions));
}

/** The last attempts that match, newest first; at most 10 000. */
export async function recentAttempts(db: Database, limit: number, filter: UsageFilter = {}): Promise<RecentAttempt[]> {
  const rows = await db
    .selectFrom('attempts')
    .selectAll()
    .where(conditions(filter))
    .orderBy('started_at', 'desc')
    .orderBy('attempt_id', 'desc')
    .limit(Math.min(limit, MAX_RECENT))
    .execute();
  return rows.map((row) => ({
    attemptId: row.attempt_id,
    requestId: row.request_id,
    attempt: row.attempt,
    startedEpochMs: row.started_at.getTime(),
    keyName: row.key_name,
    team: row.team,
    model: row.model,
    route: row.route,
    deployment: row.deployment,
    reason: row.reason,
    variant: row.variant,
    lane: row.lane ?? INTERACTIVE,
    isStream: row.is_stream,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    isEstimated: row.is_estimated,
    costNanoUsd: row.cost_nano_usd,
    ttftMs: row.ttft_ms,
    durationMs: row.duration_ms,
    finish: row.finish,
    error: row.error,
  }));
}

function conditions({ sinceEpochMs, untilEpochMs, key, model, team }: UsageFilter): RawBuilder<boolean> {
  const parts = [sql`true`];
  if (sinceEpochMs !== undefined) parts.push(sql`started_at >= ${new Date(sinceEpochMs)}`);
  if (untilEpochMs !== undefined) parts.push(sql`started_at < ${new Date(untilEpochMs)}`);
  if (key !== undefined) parts.push(sql`(key_id = ${key} or key_name = ${key})`);
  if (model !== undefined) parts.push(sql`model = ${model}`);
  if (team !== undefined) parts.push(sql`team = ${team}`);
  return sql<boolean>`${sql.join(parts, sql` and `)}`;
}

/** The same text each time, so that Postgres sees one expression in `select` and `group by`. */
function utcDay(): RawBuilder<string> {
  return sql<string>`to_char(started_at at time zone 'UTC', 'YYYY-MM-DD')`;
}

function lane(): RawBuilder<string> {
  return sql<string>`coalesce(lane, ${sql.lit(INTERACTIVE)})`;
}

/** `int8` and `numeric` are bigint (database.ts). */
interface TotalsRow extends Record<`group_${UsageDimension}`, string | null> {
  attempts: bigint;
  succeeded: bigint;
  cancelled: bigint;
  input_tokens: bigint;
  cached_input_tokens: bigint;
  output_tokens: bigint;
  reasoning_tokens: bigint;
  cost: bigint;
  unknown_price: bigint;
  estimated: bigint;
  ttft_avg: number | null;
  ttft_percentiles: readonly number[] | null;
  duration_avg: number | null;
  duration_percentiles: readonly number[] | null;
}

/** Counts and tokens stay below 2^53 in any database that fits a disk; money is what does not. */
function usageRow(row: TotalsRow, dimensions: readonly UsageDimension[]): UsageRow {
  return {
    group: Object.fromEntries(dimensions.map((dimension) => [dimension, row[`group_${dimension}`]])),
    attempts: Number(row.attempts),
    succeeded: Number(row.succeeded),
    errors: Number(row.attempts - row.succeeded - row.cancelled),
    cancelled: Number(row.cancelled),
    inputTokens: Number(row.input_tokens),
    cachedInputTokens: Number(row.cached_input_tokens),
    outputTokens: Number(row.output_tokens),
    reasoningTokens: Number(row.reasoning_tokens),
    costNanoUsd: row.cost,
    attemptsWithUnknownPrice: Number(row.unknown_price),
    attemptsEstimated: Number(row.estimated),
    ttftMs: spread(row.ttft_avg, row.ttft_percentiles),
    durationMs: spread(row.duration_avg, row.duration_percentiles),
  };
}

function spread(avg: number | null, percentiles: readonly number[] | null): Spread {
  return { avg, p50: percentiles?.[0] ?? null, p95: percentiles?.[1] ?? null };
}
