import { sql } from 'kysely';
import type { CubeName, GroupColumn } from '../core/cubes.ts';
import { BY_FOUR_DAYS, CUBES, GROUP_COLUMNS, INTERACTIVE, RANKED_USERS } from '../core/cubes.ts';
import type { Measure } from '../core/histogram.ts';
import { BOUNDS_MS, bucketColumns } from '../core/histogram.ts';
import type { Counter } from '../core/roll-up.ts';
import type { Database } from '../database/schema.ts';
import { startOfFourDays } from '../usage/rollups.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const COUNTED: Readonly<Record<Counter | 'cost_nano_usd', string>> = {
  attempts: 'count(*)',
  cache_hits: 'count(*) filter (where cache_hit)',
  estimated: 'count(*) filter (where is_estimated)',
  unknown_price: 'count(*) filter (where cost_nano_usd is null)',
  input_tokens: 'sum(input_tokens)',
  cached_input_tokens: 'sum(cached_input_tokens)',
  output_tokens: 'sum(output_tokens)',
  reasoning_tokens: 'sum(reasoning_tokens)',
  queue_ms: 'sum(queue_ms)',
  ttft_ms: 'coalesce(sum(ttft_ms), 0)',
  duration_ms: 'sum(duration_ms)',
  cost_nano_usd: 'coalesce(sum(cost_nano_usd), 0)',
};
const BUCKETS = [...bucketsOf('ttft'), ...bucketsOf('duration')];
const SUMS = [...Object.keys(COUNTED), ...BUCKETS.map(({ name }) => name)];

/**
 * Counts attempts in the rollups by SQL, many times as fast as the writer does and with the same sums. For rollups that have
 * nothing in them of that time yet, and attempts without corrections.
 * @param span whole days (UTC)
 */
export async function countAttempts(db: Database, span: { fromMs: number; toMs: number }): Promise<void> {
  for (let dayMs = span.fromMs; dayMs < span.toMs; dayMs += DAY_MS) {
    for (let hourMs = dayMs; hourMs < dayMs + DAY_MS; hourMs += HOUR_MS)
      for (const cube of Object.keys(CUBES) as CubeName[])
        await sql.raw(hourOf(cube, new Date(hourMs), new Date(hourMs + HOUR_MS))).execute(db);
    await sql.raw(dayOf(new Date(dayMs), new Date(dayMs + DAY_MS))).execute(db);
    await sql.raw(fourDaysOf(new Date(dayMs))).execute(db);
    await sql.raw(userCostsOf(new Date(dayMs))).execute(db);
  }
}

function hourOf(cube: CubeName, from: Date, to: Date): string {
  const { id, columns }: { id: number; columns: readonly GroupColumn[] } = CUBES[cube];
  const values = columns.map((column) => (column === 'lane' ? `coalesce(lane, '${INTERACTIVE}') as lane` : column));
  const sums = Object.entries(COUNTED).map(([name, sum]) => `${sum} as ${name}`);
  const buckets = BUCKETS.map(({ name, holds }) => `nullif(count(*) filter (where ${holds}), 0) as ${name}`);
  const tags = cube === 'tag' ? 'cross join lateral jsonb_each_text(tags) as tag(tag_name, tag_value)' : '';
  return `
    with counted as (
      select ${[...values, ...sums, ...buckets].join(', ')} from attempts ${tags}
      where started_at >= '${from.toISOString()}' and started_at < '${to.toISOString()}'
      group by ${columns.map((_, i) => i + 1).join(', ')}
    ), named as materialized (
      select ${idOf(id, columns)} as group_id, * from counted
    ), groups as (
      insert into usage_groups (id, cube, ${columns.join(', ')})
      select group_id, ${id}, ${columns.join(', ')} from named order by group_id on conflict (id) do nothing
    )
    insert into usage_hourly (cube, hour, group_id, ${SUMS.join(', ')})
    select ${id}, '${from.toISOString()}', group_id, ${SUMS.join(', ')} from named order by group_id`;
}

function dayOf(from: Date, to: Date): string {
  return `
    insert into usage_daily (cube, day, group_id, ${SUMS.join(', ')})
    select cube, '${from.toISOString().slice(0, 10)}', group_id, ${SUMS.map((name) => `sum(${name})`).join(', ')}
    from usage_hourly where hour >= '${from.toISOString()}' and hour < '${to.toISOString()}'
      and cube in (${Object.values(CUBES)
        .map(({ id }) => id)
        .join(', ')})
    group by cube, group_id order by cube, group_id`;
}

/** Four days are counted one after the other, from both sides of a border maybe. */
function fourDaysOf(day: Date): string {
  const date = `date '${day.toISOString().slice(0, 10)}'`;
  return `
    insert into usage_four_days as kept (cube, starts_on, group_id, ${SUMS.join(', ')})
    select cube, ${startOfFourDays(date)}, group_id, ${SUMS.join(', ')}
    from usage_daily where day = ${date} and cube in (${BY_FOUR_DAYS.map((cube) => CUBES[cube].id).join(', ')})
    order by cube, group_id
    on conflict (cube, starts_on, group_id) do update set ${SUMS.map(
      (name) => `${name} = coalesce(kept.${name} + excluded.${name}, kept.${name}, excluded.${name})`,
    ).join(', ')}`;
}

function userCostsOf(day: Date): string {
  const { id, columns } = RANKED_USERS;
  const date = `date '${day.toISOString().slice(0, 10)}'`;
  return `
    with named as materialized (
      select ${idOf(id, columns)} as group_id, ${columns.join(', ')}, sum(attempts) as attempts, sum(cost_nano_usd) as cost
      from usage_daily join usage_groups on id = group_id where usage_daily.cube = ${CUBES.user.id} and day = ${date}
      group by ${columns.join(', ')}
    ), groups as (
      insert into usage_groups (id, cube, ${columns.join(', ')})
      select group_id, ${id}, ${columns.join(', ')} from named order by group_id on conflict (id) do nothing
    )
    insert into usage_user_costs as kept (starts_on, group_id, attempts, cost_nano_usd)
    select ${startOfFourDays(date)}, group_id, attempts, cost from named order by group_id
    on conflict (starts_on, group_id) do update
      set attempts = kept.attempts + excluded.attempts, cost_nano_usd = kept.cost_nano_usd + excluded.cost_nano_usd`;
}

/** As the writer makes it (rollups.ts). */
function idOf(cube: number, columns: readonly GroupColumn[]): string {
  const group = GROUP_COLUMNS.map((column) => (columns.includes(column) ? column : 'null::text'));
  const whole = `md5(row(${cube}::smallint, ${group.join(', ')})::text)`;
  const neighbours = columns.includes('tag_name') ? 'tag_name' : 'team';
  return `(left(md5(row(${neighbours})::text), 8) || right(${whole}, 24))::uuid`;
}

function bucketsOf(measure: Measure): { name: string; holds: string }[] {
  return bucketColumns(measure).map((name, i) => {
    const from = i === 0 ? '' : `${measure}_ms >= ${BOUNDS_MS[i - 1]}`;
    const to = BOUNDS_MS[i] === undefined ? '' : `${measure}_ms < ${BOUNDS_MS[i]}`;
    return { name, holds: [from, to].filter((part) => part !== '').join(' and ') };
  });
}
