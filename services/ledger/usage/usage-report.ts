import type { RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { CubeName } from '../core/cubes.ts';
import { cubeWith } from '../core/cubes.ts';
import { bucketColumns, quantileOf } from '../core/histogram.ts';
import type { KeptSince } from '../core/report-plan.ts';
import { planReport } from '../core/report-plan.ts';
import { BUCKETS } from '../core/roll-up.ts';
import type { UsageDimension, UsageQuery } from '../core/usage-query.ts';
import { isTimeDimension, lookedAt } from '../core/usage-query.ts';
import { rankGroups } from './rank-groups.ts';
import type { Database } from '../database/schema.ts';
import type { Reported } from './usage-sums.ts';
import { counted, isOneOf, REPORTED, rolledUp } from './usage-sums.ts';

/** Average, median and 95th percentile in milliseconds; null when nothing was measured. */
export interface Spread {
  readonly avg: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
}

export interface UsageRow {
  /** A value for each dimension of `groupBy`, null where attempts have none (no team, no route, no error). `day` is a UTC date, `2026-11-20`, `hour` its beginning, `2026-11-20T13:00Z`. */
  readonly group: Partial<Record<UsageDimension, string | null>>;
  /** attempts = succeeded + errors + cancelled */
  readonly attempts: number;
  readonly succeeded: number;
  readonly errors: number;
  /** The client went away before the end. */
  readonly cancelled: number;
  readonly cacheHits: number;
  readonly inputTokens: number;
  /** Part of `inputTokens`. */
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** Part of `outputTokens`. */
  readonly reasoningTokens: number;
  /** Of the attempts whose price is known, with all corrections. */
  readonly costNanoUsd: bigint;
  readonly attemptsWithUnknownPrice: number;
  /** Whose tokens are our own count, because the provider told none. */
  readonly attemptsEstimated: number;
  readonly ttftMs: Spread;
  readonly durationMs: Spread;
  /** p50 and p95 are right within their power of two of milliseconds: there were too many attempts to look at each. */
  readonly areQuantilesRough: boolean;
}

const DEFAULT_ROWS = 1_000;
const MAX_ROWS = 100_000;
/** That takes some tens of milliseconds. */
const EXACT_UP_TO_ATTEMPTS = 10_000;

/**
 * What was used, summed by group. Reads the sums that the writer keeps, so the time it takes hardly depends on how many
 * attempts there were; but a question that these cannot answer (a user together with a route, two tags at once) reads
 * the attempts.
 * @throws what Postgres said; RangeError for a dimension that is none
 */
export async function reportUsage(db: Database, query: UsageQuery): Promise<UsageRow[]> {
  const dimensions = [...new Set(query.groupBy)];
  const { columns, tags } = lookedAt(dimensions, query);
  const cube = tags.length > 1 ? undefined : cubeWith(columns);
  if (cube === undefined) return countUsage(db, dimensions, query);
  return db.transaction().execute(async (transaction) => {
    await SETTINGS.execute(transaction);
    return addUpUsage(transaction, cube, dimensions, query);
  });
}

/**
 * Of this transaction alone. Thousands of groups of fifty sums each are added up in memory, by hashes; with the 4 MB that are
 * the default all rows were sorted on disk first. Postgres takes a group to have few rows, where it has one for each day: it
 * would look up each by itself. And reports are too short for what a compiler or another process would take to begin.
 */
const SETTINGS = sql`
  select set_config('work_mem', '32MB', true), set_config('enable_sort', 'off', true),
    set_config('enable_nestloop', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('jit', 'off', true)`;

/** From the rollups. */
async function addUpUsage(
  db: Database,
  cube: CubeName,
  dimensions: readonly UsageDimension[],
  query: UsageQuery,
): Promise<UsageRow[]> {
  const kept = await readKeptSince(db);
  const time = { fromMs: query.sinceEpochMs ?? -Infinity, toMs: query.untilEpochMs ?? Infinity };
  const plan = planReport(time, kept, dimensions.includes('hour'));
  const manyAttempts = query.exactUpToAttempts ?? EXACT_UP_TO_ATTEMPTS;
  const ranked = await rankGroups(db, { plan, kept, cube, dimensions, query, manyAttempts });
  const chosen = ranked?.chosen;
  const sums = [
    ...REPORTED.map((name) => sql`coalesce(sum(${sql.ref(name)}), 0) as ${sql.ref(name)}`),
    ...BUCKETS.map((name) => sql`sum(${sql.ref(name)}) as ${sql.ref(name)}`),
  ];
  const groups = dimensions.flatMap((_, i) => [
    sql`${sql.ref(`by_${i}`)}, `,
    sql`max(${sql.ref(`shown_${i}`)}) as ${sql.ref(`shown_${i}`)}, `,
  ]);
  const names = dimensions.map((_, i) => sql.ref(`by_${i}`));
  const by = names.length === 0 ? sql`()` : sql.join(names);
  const summed = sql`
    select ${sql.join(groups, sql``)} ${sql.join(sums)}, coalesce(sum(sum(attempts)) over (), 0) as all_attempts
    from (${rolledUp(plan, cube, dimensions, query, { chosen })}) as parts
    where ${chosen === undefined ? sql`true` : isOneOf(names, chosen)} group by ${by}`;
  const rows = await execute<RolledUpRow>(db, ordered(summed, dimensions, query));

  const isFew = (ranked?.attempts ?? rows[0]?.all_attempts ?? 0) <= manyAttempts;
  if (isFew && time.fromMs >= kept.attempts) return countUsage(db, dimensions, query);
  return rows.map((row) => {
    const of = (measure: 'ttft' | 'duration'): number[] => bucketColumns(measure).map((name) => Number(row[name]));
    return usageRow(row, dimensions, {
      ttftMs: roughSpread(row.ttft_ms, of('ttft')),
      durationMs: roughSpread(row.duration_ms, of('duration')),
      areQuantilesRough: true,
    });
  });
}

/** From the attempts, one by one. */
async function countUsage(db: Database, dimensions: readonly UsageDimension[], query: UsageQuery): Promise<UsageRow[]> {
  const rows = await execute<CountedRow>(db, ordered(counted(dimensions, query), dimensions, query));
  return rows.map((row) =>
    usageRow(row, dimensions, {
      ttftMs: spread(row.ttft_ms, row.ttft_count, row.ttft_quantiles),
      durationMs: spread(row.duration_ms, row.attempts, row.duration_quantiles),
      areQuantilesRough: false,
    }),
  );
}

/** From when on reports are exact to the millisecond, the hour and the day. */
async function readKeptSince(db: Database): Promise<KeptSince> {
  const marks = await db.selectFrom('retention_marks').selectAll().execute();
  const since = (what: string): number => marks.find(({ kept }) => kept === what)?.since.getTime() ?? -Infinity;
  return { attempts: since('attempts'), hours: since('rollups_hourly'), days: since('rollups_daily') };
}

/** The dearest groups first; of a series the latest time. Groups are ranked by what they cost in the whole time. */
function ordered(
  rows: RawBuilder<unknown>,
  dimensions: readonly UsageDimension[],
  { limit = DEFAULT_ROWS, top }: UsageQuery,
): RawBuilder<unknown> {
  const names = dimensions.map((dimension, i) => ({ isTime: isTimeDimension(dimension), by: sql.ref(`by_${i}`) }));
  const times = names.filter(({ isTime }) => isTime).map(({ by }) => sql`${by} desc, `);
  const groups = names.filter(({ isTime }) => !isTime).map(({ by }) => by);
  const order = sql`order by ${sql.join(times, sql``)} cost_nano_usd desc, attempts desc
    ${sql.join(
      groups.map((by) => sql`, ${by}`),
      sql``,
    )} limit ${Math.min(limit, MAX_ROWS)}`;
  if (top === undefined || groups.length === 0) return sql`select * from (${rows}) as reported ${order}`;
  return sql`
    select * from (
      select *, dense_rank() over (order by group_cost desc, ${sql.join(groups)}) as place from (
        select *, sum(cost_nano_usd) over (partition by ${sql.join(groups)}) as group_cost from (${rows}) as reported
      ) as weighed
    ) as placed where place <= ${top} ${order}`;
}

async function execute<Row>(db: Database, query: RawBuilder<unknown>): Promise<Row[]> {
  const { rows } = await sql<Row>`${query}`.execute(db);
  return rows;
}

type ReportedRow = Record<Exclude<Reported, 'cost_nano_usd'>, number> & {
  cost_nano_usd: bigint;
} & Readonly<Record<`shown_${number}`, string | null>>;
type RolledUpRow = ReportedRow & { all_attempts: number } & Readonly<Record<string, unknown>>;
type CountedRow = ReportedRow & {
  ttft_count: number;
  ttft_quantiles: readonly number[] | null;
  duration_quantiles: readonly number[] | null;
};

/** Counts and tokens stay below 2^53 in any database that fits a disk; money is what does not. */
function usageRow(
  row: ReportedRow,
  dimensions: readonly UsageDimension[],
  times: Pick<UsageRow, 'ttftMs' | 'durationMs' | 'areQuantilesRough'>,
): UsageRow {
  return {
    group: Object.fromEntries(dimensions.map((dimension, i) => [dimension, row[`shown_${i}`]])),
    attempts: row.attempts,
    succeeded: row.succeeded,
    errors: row.attempts - row.succeeded - row.cancelled,
    cancelled: row.cancelled,
    cacheHits: row.cache_hits,
    inputTokens: row.input_tokens,
    cachedInputTokens: row.cached_input_tokens,
    outputTokens: row.output_tokens,
    reasoningTokens: row.reasoning_tokens,
    costNanoUsd: row.cost_nano_usd,
    attemptsWithUnknownPrice: row.unknown_price,
    attemptsEstimated: row.estimated,
    ...times,
  };
}

function spread(sumMs: number, count: number, quantiles: readonly number[] | null): Spread {
  return { avg: average(sumMs, count), p50: quantiles?.[0] ?? null, p95: quantiles?.[1] ?? null };
}

function roughSpread(sumMs: number, counts: readonly number[]): Spread {
  const count = counts.reduce((sum, each) => sum + each, 0);
  return { avg: average(sumMs, count), p50: quantileOf(counts, 0.5), p95: quantileOf(counts, 0.95) };
}

function average(sumMs: number, count: number): number | null {
  return count === 0 ? null : sumMs / count;
}
