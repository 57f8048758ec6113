import type { RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { CubeName } from '../core/cubes.ts';
import { RANKED_USERS } from '../core/cubes.ts';
import type { KeptSince, ReportPlan, Span } from '../core/report-plan.ts';
import { spanOf } from '../core/report-plan.ts';
import { rankedWithin } from '../core/roll-up.ts';
import type { UsageDimension, UsageQuery } from '../core/usage-query.ts';
import { isTimeDimension, lookedAt } from '../core/usage-query.ts';
import type { Database } from '../database/schema.ts';
import type { ChosenGroup } from './usage-sums.ts';
import { columns, conditions, dateWithin, groupedBy, groupings, rolledUp } from './usage-sums.ts';

/** Costs are ranked as `float8`, which a sum of a million of them tells within less than this. */
const ROUNDING = sql.lit(1 + 1e-9);
/** More groups are read with all others at once. */
const MAX_RANKED = 100;

export interface Ranked {
  /** The dearest groups are among these. */
  readonly chosen: readonly ChosenGroup[];
  /** Of all groups; not more than there are. */
  readonly attempts: number;
}

export interface Ranking {
  readonly plan: ReportPlan;
  readonly kept: KeptSince;
  readonly cube: CubeName;
  readonly dimensions: readonly UsageDimension[];
  readonly query: UsageQuery;
  /** Of fewer attempts the number is told. */
  readonly manyAttempts: number;
}

/**
 * The dearest groups of the whole time, by two sums of fifty: all others are then read of the few groups that are told.
 * undefined: no such choice is asked for.
 */
export async function rankGroups(db: Database, ranking: Ranking): Promise<Ranked | undefined> {
  const { plan, cube, dimensions, query, manyAttempts } = ranking;
  const { top } = query;
  const plain = dimensions.filter((dimension) => !isTimeDimension(dimension));
  if (top === undefined || top > MAX_RANKED || plain.length === 0) return undefined;
  const users = await rankUsers(db, ranking, plain);
  if (users !== undefined && users.attempts > manyAttempts) return users;

  const by = sql.join(plain.map((_, i) => byColumn(i)));
  const parts = rolledUp(plan, cube, plain, query, { sums: ['cost_nano_usd', 'attempts'], hasHistograms: false });
  return ranked(
    db,
    ranking,
    sql`
      select ${by}, sum(sum(attempts)) over () as all_attempts from (${parts}) as parts group by ${by}
      order by sum(cost_nano_usd) desc, ${by} limit ${top}`,
  );
}

/**
 * Users by what they cost in each four days. Not the time itself, but there is what a user cost at least in it (in those four
 * days that lie in it as a whole) and at most (in all that it touches, for no attempt costs less than nothing). Whoever
 * costs at most less than the last of the top costs at least is not among them, and nearly nobody is left.
 * undefined: that does not help here.
 */
async function rankUsers(
  db: Database,
  ranking: Ranking,
  plain: readonly UsageDimension[],
): Promise<Ranked | undefined> {
  const { plan, kept, query } = ranking;
  const { columns: asked, tags } = lookedAt(plain, query);
  const isAnswered = asked.every((column) => RANKED_USERS.columns.some((known) => known === column));
  const time = spanOf(plan);
  if (!asked.includes('user_id') || !isAnswered || tags.length > 0 || plan.days === undefined) return undefined;
  // What has been dropped since cannot tell what somebody cost at most.
  if (time === undefined || time.fromMs < kept.days) return undefined;
  const { whole, touched } = rankedWithin(plan.days, time);
  const grouped = plain.map((dimension) => groupedBy(dimension, 'groups', sql`null::timestamptz`));
  const by = sql.join(plain.map((_, i) => byColumn(i)));
  const isWhole = startsWithin(whole);
  const found = await ranked(
    db,
    ranking,
    sql`
      with costs as (
        select group_id, sum(cost_nano_usd::float8) as at_most, sum(cost_nano_usd::float8) filter (where ${isWhole}) as at_least,
          sum(attempts::float8) filter (where ${isWhole}) as attempts
        from usage_user_costs where ${startsWithin(touched)} group by group_id
      ), users as materialized (
        select ${columns(grouped)} sum(at_most) as at_most, coalesce(sum(at_least), 0) as at_least, sum(attempts) as attempts
        from costs join usage_groups on id = group_id
        where cube = ${sql.lit(RANKED_USERS.id)} and ${conditions(query, plain, 'groups')} group by ${groupings(grouped)}
      ), last as (select at_least from users order by at_least desc limit 1 offset ${(query.top ?? 1) - 1})
      select ${by}, (select sum(attempts) from users) as all_attempts from users
      where at_most * ${ROUNDING} >= coalesce((select at_least from last), 0) limit ${MAX_RANKED + 1}`,
  );
  return found.chosen.length > MAX_RANKED ? undefined : found;
}

async function ranked(db: Database, { dimensions }: Ranking, query: RawBuilder<unknown>): Promise<Ranked> {
  const plain = dimensions.filter((dimension) => !isTimeDimension(dimension));
  const { rows } = await sql<RankedRow>`${query}`.execute(db);
  const chosen = rows.map((row) =>
    dimensions.map((dimension) => {
      const place = plain.findIndex((each) => each === dimension);
      return place < 0 ? undefined : row[`by_${place}`];
    }),
  );
  return { chosen, attempts: rows[0]?.all_attempts ?? 0 };
}

type RankedRow = { all_attempts: number } & Readonly<Record<`by_${number}`, string | null>>;

function byColumn(i: number): RawBuilder<unknown> {
  return sql.ref(`by_${i}`);
}

function startsWithin(span: Span): RawBuilder<boolean> {
  return dateWithin(sql`starts_on`, span);
}
