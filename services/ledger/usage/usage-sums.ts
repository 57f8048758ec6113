import type { RawBuilder } from 'kysely';
import { sql } from 'kysely';
import { USAGE_DIMENSIONS } from '../../../shared/usage-dimensions.ts';
import type { CubeName } from '../core/cubes.ts';
import { BY_FOUR_DAYS, CUBES, INTERACTIVE } from '../core/cubes.ts';
import { BOUNDS_MS, bucketColumns } from '../core/histogram.ts';
import type { ReportPlan, Span } from '../core/report-plan.ts';
import { splitDays } from '../core/report-plan.ts';
import { BUCKETS, COUNTERS } from '../core/roll-up.ts';
import type { TimeDimension, UsageDimension, UsageFilter } from '../core/usage-query.ts';
import { COLUMN_OF, isTimeDimension, lookedAt, tagOf } from '../core/usage-query.ts';
import { idsOf } from './rollups.ts';

const CANCELLED = 'client_closed_request';
/** How long attempts waited is kept, and nobody is told. */
const TOLD = COUNTERS.filter((name) => name !== 'queue_ms');

/**
 * Sums of a report's row, under these names. All but the cost are `float8`: exact up to 2^53, as they are told, and added up
 * without a thought for more, where sums of bigint are numeric in the end.
 */
export const REPORTED = [...TOLD, 'succeeded', 'cancelled', 'cost_nano_usd'] as const;
export type Reported = (typeof REPORTED)[number];

/** A group of a report: `by` tells it apart, `shown` names it. Both are columns of every part. */
interface GroupedBy {
  readonly by: RawBuilder<unknown>;
  readonly shown: RawBuilder<unknown>;
  /** Of a single row, where `shown` is an aggregate; otherwise `by` is. */
  readonly shownOfOne?: RawBuilder<unknown>;
}

/** The value of each dimension; undefined: a time, or one that does not matter. */
export type ChosenGroup = readonly (string | null | undefined)[];

/** What of the rows is to be read. */
export interface Wanted {
  readonly sums?: readonly Reported[];
  readonly hasHistograms?: boolean;
  /** Of the sums no other group than these is read; of single attempts all are. */
  readonly chosen?: readonly ChosenGroup[] | undefined;
}

/** Where attempts, or groups of them, are read from. */
type Source = 'groups' | 'attempts';

/** The attempts with what they cost after all corrections. */
export const CORRECTED = sql`
  attempts left join lateral (
    select sum(amount_nano_usd) as amount, count(*) as times from corrections
    where corrections.attempt_id = attempts.attempt_id
  ) as corrected on true`;
/** Of a row of `CORRECTED`. */
export const COST = sql<bigint | null>`coalesce(cost_nano_usd + coalesce(corrected.amount, 0), corrected.amount)`;

/**
 * The rows that a report adds up, all of the same columns: `by_0`, `shown_0`, … and its sums. Each part is one of the plan's,
 * and has far fewer rows than there are attempts.
 */
export function rolledUp(
  plan: ReportPlan,
  cube: CubeName,
  dimensions: readonly UsageDimension[],
  filter: UsageFilter,
  { sums: wanted = REPORTED, hasHistograms = true, chosen }: Wanted = {},
): RawBuilder<unknown> {
  const read = [
    ...new Set(wanted.map((name) => (name === 'succeeded' || name === 'cancelled' ? 'attempts' : name))),
    ...(hasHistograms ? BUCKETS : []),
  ];
  const isSeries = dimensions.some(isTimeDimension);
  const rows = [
    ...(plan.days === undefined ? [] : daysOf(plan.days)),
    ...plan.hours.map((span) => rowsOf('usage_hourly', sql`hour`, within(sql`hour`, span))),
  ];
  const parts = [
    ...(rows.length === 0 ? [] : [rollupsPart(sql.join(rows, sql` union all `))]),
    ...plan.attempts.map((span) => attemptsPart(dimensions, filter, span, wanted, hasHistograms)),
  ];
  return parts.length === 0
    ? attemptsPart(dimensions, filter, { fromMs: 0, toMs: 0 }, wanted, hasHistograms)
    : sql.join(parts, sql` union all `);

  function daysOf(days: Span): RawBuilder<unknown>[] {
    const isSplit = !isSeries && BY_FOUR_DAYS.includes(cube);
    const { fourDays, rest } = isSplit ? splitDays(days) : { fourDays: undefined, rest: [days] };
    return [
      ...(fourDays === undefined
        ? []
        : [rowsOf('usage_four_days', sql`null::timestamptz`, dateWithin(sql`starts_on`, fourDays))]),
      ...rest.map((span) => rowsOf('usage_daily', sql`day::timestamp at time zone 'UTC'`, dateWithin(sql`day`, span))),
    ];
  }

  function rowsOf(table: string, time: RawBuilder<unknown>, isWithin: RawBuilder<unknown>): RawBuilder<unknown> {
    return sql`
      select group_id, ${isSeries ? sql`${time} as time, ` : sql``} ${sql.join(read.map((name) => sql.ref(name)))}
      from ${sql.table(table)} where cube = ${sql.lit(CUBES[cube].id)} and ${isWithin} and ${isOfGroups()}`;
  }

  /**
   * Rows are added up by their groups' ids first: what the groups are called is then looked at once for each, not for each of
   * its hours. A series has a row for each of its times anyway, and is added up by these.
   */
  function rollupsPart(all: RawBuilder<unknown>): RawBuilder<unknown> {
    const names = [...wanted, ...(hasHistograms ? BUCKETS : [])];
    const added = read.map((name) => sql`${sumOf(name)} as ${sql.ref(name)}`);
    const once = isSeries ? all : sql`select group_id, ${sql.join(added)} from (${all}) as every group by group_id`;
    const grouped = dimensions.map((dimension) => groupedBy(dimension, 'groups', sql`time`));
    const shown = isSeries ? grouped : grouped.map(({ by, shownOfOne = by }) => ({ by, shown: shownOfOne }));
    const sums = names.map((name) => sql`${isSeries ? sumOf(name) : ofGroup(name)} as ${sql.ref(name)}`);
    return sql`
      select ${columns(shown)} ${sql.join(sums)}
      from (${once}) as sums join usage_groups on usage_groups.id = sums.group_id
      where ${isGroup()} ${isSeries ? sql`group by ${groupings(grouped)}` : sql``}`;
  }

  /**
   * Rows of groups that may be meant; of the few chosen no others. The groups of a team or a tag are found by the first part
   * of their ids, for they lie side by side. Which of them are meant is seen when they are added up.
   */
  function isOfGroups(): RawBuilder<unknown> {
    const tags = dimensions.flatMap((dimension) => tagOf(dimension) ?? []);
    const [tag] = [...tags, ...Object.keys(filter.tags ?? {})];
    const ids = sql`select id from usage_groups where ${isGroup()}`;
    if (chosen !== undefined || filter.user !== undefined) return sql`group_id = any(array(${ids}))`;
    const neighbours = tag ?? filter.team;
    if (neighbours !== undefined) {
      const { first, last } = idsOf(neighbours);
      return sql`group_id between ${first}::uuid and ${last}::uuid`;
    }
    return lookedAt([], filter).columns.length === 0 ? sql`true` : sql`group_id in (${ids})`;
  }

  function isGroup(): RawBuilder<unknown> {
    const by = dimensions.map((dimension) => groupedBy(dimension, 'groups', sql`null::timestamptz`).by);
    return sql`usage_groups.cube = ${sql.lit(CUBES[cube].id)} and ${conditions(filter, dimensions, 'groups')}
      and ${chosen === undefined ? sql`true` : isOneOf(by, chosen)}`;
  }
}

/** SQL: the values of these columns are a chosen group's; where a group has none in its place, any will do. */
export function isOneOf(columns: readonly RawBuilder<unknown>[], chosen: readonly ChosenGroup[]): RawBuilder<unknown> {
  const each = chosen.map((values) => {
    const same = columns.flatMap((column, i) => {
      const value = values[i];
      if (value === undefined) return [];
      return [value === null ? sql`${column} is null` : sql`${column} = ${value}`];
    });
    return sql`(${sql.join([sql`true`, ...same], sql` and `)})`;
  });
  return sql`(${sql.join([sql`false`, ...each], sql` or `)})`;
}

function attemptsPart(
  dimensions: readonly UsageDimension[],
  filter: UsageFilter,
  span: Span,
  wanted: readonly Reported[],
  hasHistograms: boolean,
): RawBuilder<unknown> {
  const grouped = dimensions.map((dimension) => groupedBy(dimension, 'attempts', sql`started_at`));
  const measures = hasHistograms ? (['ttft', 'duration'] as const) : [];
  const buckets = measures.flatMap((measure) => {
    const ms = sql.ref(`${measure}_ms`);
    return bucketColumns(measure).map((name, index) => {
      const from = index === 0 ? sql`` : sql` and ${ms} >= ${sql.lit(BOUNDS_MS[index - 1])}`;
      const to = BOUNDS_MS[index] === undefined ? sql`` : sql` and ${ms} < ${sql.lit(BOUNDS_MS[index])}`;
      return sql`nullif(count(*) filter (where true${from}${to}), 0)::float8 as ${sql.ref(name)}`;
    });
  });
  return sql`
    select ${columns(grouped)} ${sql.join([...attemptSums(wanted), ...buckets])}
    from ${CORRECTED}
    where ${within(sql`started_at`, span)} and ${conditions(filter, dimensions, 'attempts')}
    group by ${groupings(grouped)}`;
}

/** As `rolledUp`, of one row for each group, from the attempts alone; with exact quantiles as `ttft_quantiles` and `duration_quantiles`. */
export function counted(dimensions: readonly UsageDimension[], filter: UsageFilter): RawBuilder<unknown> {
  const { sinceEpochMs: fromMs = -Infinity, untilEpochMs: toMs = Infinity } = filter;
  const grouped = dimensions.map((dimension) => groupedBy(dimension, 'attempts', sql`started_at`));
  const quantiles = ['ttft', 'duration'].map(
    (measure) =>
      sql`percentile_cont(array[0.5, 0.95]) within group (order by ${sql.ref(`${measure}_ms`)}) as ${sql.ref(`${measure}_quantiles`)}`,
  );
  return sql`
    select ${columns(grouped)} ${sql.join([...attemptSums(), ...quantiles])},
      count(ttft_ms)::float8 as ttft_count
    from ${CORRECTED}
    where ${within(sql`started_at`, { fromMs, toMs })} and ${conditions(filter, dimensions, 'attempts')}
    group by ${groupings(grouped)}`;
}

/** SQL that is true for what a filter lets through; times aside. */
export function conditions(
  filter: UsageFilter,
  dimensions: readonly UsageDimension[],
  source: Source,
): RawBuilder<boolean> {
  const parts = [sql`true`];
  for (const name of USAGE_DIMENSIONS) {
    const wanted = filter[name];
    if (wanted === undefined) continue;
    const column = plainColumn(COLUMN_OF[name], source);
    if (wanted === null) parts.push(sql`${column} is null`);
    else if (name === 'key') parts.push(sql`(${column} = ${wanted} or key_name = ${wanted})`);
    else parts.push(sql`${column} = ${wanted}`);
  }
  for (const [tag, value] of Object.entries(filter.tags ?? {})) parts.push(hasTag(tag, source, value));
  for (const dimension of dimensions) {
    const tag = tagOf(dimension);
    if (tag !== undefined) parts.push(hasTag(tag, source));
  }
  return sql<boolean>`${sql.join(parts, sql` and `)}`;
}

/** SQL: a time lies in the span. */
export function within(column: RawBuilder<unknown>, { fromMs, toMs }: Span): RawBuilder<boolean> {
  const parts = [sql`true`];
  if (fromMs > -Infinity) parts.push(sql`${column} >= ${new Date(fromMs)}`);
  if (toMs < Infinity) parts.push(sql`${column} < ${new Date(toMs)}`);
  return sql<boolean>`${sql.join(parts, sql` and `)}`;
}

/** As `within`, for a column of the type date and a span of whole days. */
export function dateWithin(column: RawBuilder<unknown>, { fromMs, toMs }: Span): RawBuilder<boolean> {
  const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const parts = [sql`true`];
  if (fromMs > -Infinity) parts.push(sql`${column} >= ${date(fromMs)}::date`);
  if (toMs < Infinity) parts.push(sql`${column} < ${date(toMs)}::date`);
  return sql<boolean>`${sql.join(parts, sql` and `)}`;
}

export function columns(grouped: readonly GroupedBy[]): RawBuilder<unknown> {
  return sql.join(
    grouped.map(({ by, shown }, i) => sql`${by} as ${sql.ref(`by_${i}`)}, ${shown} as ${sql.ref(`shown_${i}`)}, `),
    sql``,
  );
}

/** `()` is the group of everything, which is there even when nothing is. */
export function groupings(grouped: readonly GroupedBy[]): RawBuilder<unknown> {
  return grouped.length === 0 ? sql`()` : sql.join(grouped.map((_, i) => sql.lit(2 * i + 1)));
}

/** Two keys may have had one name, one after the other. */
export function groupedBy(dimension: UsageDimension, source: Source, time: RawBuilder<unknown>): GroupedBy {
  if (isTimeDimension(dimension)) return same(timeText(dimension, time));
  const tag = tagOf(dimension);
  if (tag !== undefined) return same(source === 'groups' ? sql`tag_value` : sql`tags ->> ${sql.lit(tag)}`);
  const name = USAGE_DIMENSIONS.find((known) => known === dimension);
  if (name === undefined) throw new RangeError(`"${dimension}" is no dimension`);
  if (name === 'key') return { by: sql`key_id`, shown: sql`max(key_name)`, shownOfOne: sql`key_name` };
  return same(plainColumn(COLUMN_OF[name], source));
}

/** Written without parameters, so that Postgres sees that both are one expression. */
function same(by: RawBuilder<unknown>): GroupedBy {
  return { by, shown: by };
}

function plainColumn(column: string, source: Source): RawBuilder<unknown> {
  if (column === 'lane' && source === 'attempts') return sql`coalesce(lane, ${sql.lit(INTERACTIVE)})`;
  return sql.ref(column);
}

/** UTC: `2026-11-20`, `2026-11-20T13:00Z`. */
function timeText(dimension: TimeDimension, time: RawBuilder<unknown>): RawBuilder<unknown> {
  const format = dimension === 'day' ? 'YYYY-MM-DD' : 'YYYY-MM-DD"T"HH24:00"Z"';
  return sql`to_char((${time}) at time zone 'UTC', ${sql.lit(format)})`;
}

function hasTag(tag: string, source: Source, value?: string): RawBuilder<unknown> {
  if (source === 'groups')
    return value === undefined ? sql`tag_name = ${tag}` : sql`(tag_name = ${tag} and tag_value = ${value})`;
  return value === undefined ? sql`tags ->> ${tag} is not null` : sql`tags ->> ${tag} = ${value}`;
}

/** Of rows of the rollups, or of groups added up. */
function sumOf(name: string): RawBuilder<unknown> {
  if (name === 'cost_nano_usd') return sql`coalesce(sum(cost_nano_usd), 0)`;
  const sum = sql`sum(${ofGroup(name)}::float8)`;
  // Most buckets are empty, and nothing is added faster than nought.
  return BUCKETS.includes(name) ? sum : sql`coalesce(${sum}, 0)`;
}

/** Of one row joined with its group. */
function ofGroup(name: string): RawBuilder<unknown> {
  if (name === 'succeeded') return sql`case when error is null then attempts else 0 end`;
  if (name === 'cancelled') return sql`case when error = ${sql.lit(CANCELLED)} then attempts else 0 end`;
  return sql.ref(name);
}

function attemptSums(wanted: readonly Reported[] = REPORTED): RawBuilder<unknown>[] {
  const sums: Record<Reported, RawBuilder<unknown>> = {
    attempts: sql`count(*)`,
    succeeded: sql`count(*) filter (where error is null)`,
    cancelled: sql`count(*) filter (where error = ${CANCELLED})`,
    cache_hits: sql`count(*) filter (where cache_hit)`,
    estimated: sql`count(*) filter (where is_estimated)`,
    unknown_price: sql`count(*) filter (where ${COST} is null)`,
    input_tokens: sql`sum(input_tokens)`,
    cached_input_tokens: sql`sum(cached_input_tokens)`,
    output_tokens: sql`sum(output_tokens)`,
    reasoning_tokens: sql`sum(reasoning_tokens)`,
    ttft_ms: sql`sum(ttft_ms)`,
    duration_ms: sql`sum(duration_ms)`,
    cost_nano_usd: sql`sum(${COST})`,
  };
  return wanted.map((name) => {
    const sum = sql`coalesce(${sums[name]}, 0)`;
    return sql`${name === 'cost_nano_usd' ? sum : sql`(${sum})::float8`} as ${sql.ref(name)}`;
  });
}
