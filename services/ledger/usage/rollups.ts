import { hash } from 'node:crypto';
import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { Group } from '../core/cubes.ts';
import { BY_FOUR_DAYS, CUBES, GROUP_COLUMNS, neighbours, neighboursOf, RANKED_USERS } from '../core/cubes.ts';
import type { Delta, UserCosts } from '../core/roll-up.ts';
import { BUCKETS, costsOfUsers, COUNTERS, cubeId, rollUp } from '../core/roll-up.ts';
import { preparedAs } from '../database/prepared.ts';
import type { Tables } from '../database/schema.ts';

/** Every sum of a rollup row. */
const SUMS = [...COUNTERS, 'cost_nano_usd'];
const KEPT = [...SUMS, ...BUCKETS];

/** What a delta is read as: short names, and nothing for nought, for reading it is half of what counting costs. */
const RECORDSET = [
  ...['cube smallint', 'hour_ms bigint', 'group_id uuid'],
  ...COUNTERS.map((_, i) => `n${i} bigint`),
  'cost bigint',
  ...BUCKETS.map((_, i) => `b${i} integer`),
].join(', ');
const DELTA = `
  select cube, to_timestamp(hour_ms / 1000) as hour, group_id,
    ${COUNTERS.map((column, i) => `coalesce(n${i}, 0) as ${column}`).join(', ')}, cost as cost_nano_usd,
    ${BUCKETS.map((column, i) => `b${i} as ${column}`).join(', ')}
  from json_to_recordset(`;
const DAY = `(hour at time zone 'UTC')::date`;
const FOUR_DAYS = startOfFourDays(DAY);
const IS_BY_FOUR_DAYS = `cube in (${BY_FOUR_DAYS.map((cube) => CUBES[cube].id).join(', ')})`;
/** A batch is nearly always of one hour, and then has each group once. */
const ofOneHour = (bucket: string, isMeant: string): string =>
  `select cube, ${bucket}, group_id, ${KEPT.join(', ')} from delta where ${isMeant} order by 1, 2, 3`;
const ofHours = (bucket: string, isMeant: string): string =>
  `select cube, ${bucket}, group_id, ${KEPT.map((column) => `sum(${column})`).join(', ')} from delta where ${isMeant}
    group by 1, 2, 3 order by 1, 2, 3`;

/** Adds to rows that are there. */
const ADDED = [
  ...SUMS.map((column) => `${column} = kept.${column} + excluded.${column}`),
  ...BUCKETS.map(
    (column) => `${column} = coalesce(kept.${column} + excluded.${column}, kept.${column}, excluded.${column})`,
  ),
].join(', ');

/** One statement reads the deltas once for all tables. */
const headOf = (name: string) => sql.raw(preparedAs(name, `with delta as materialized (${DELTA}`));
const tailOf = (select: typeof ofHours) =>
  sql.raw(`) as delta(${RECORDSET})),
    hours as (
      insert into usage_hourly as kept (cube, hour, group_id, ${KEPT.join(', ')})
      select cube, hour, group_id, ${KEPT.join(', ')} from delta order by 1, 2, 3
      on conflict (cube, hour, group_id) do update set ${ADDED}
    ), days as (
      insert into usage_daily as kept (cube, day, group_id, ${KEPT.join(', ')}) ${select(DAY, 'true')}
      on conflict (cube, day, group_id) do update set ${ADDED}
    )
    insert into usage_four_days as kept (cube, starts_on, group_id, ${KEPT.join(', ')}) ${select(FOUR_DAYS, IS_BY_FOUR_DAYS)}
    on conflict (cube, starts_on, group_id) do update set ${ADDED}`);
const COUNT = {
  oneHour: { head: headOf('count_hour'), tail: tailOf(ofOneHour) },
  hours: { head: headOf('count_hours'), tail: tailOf(ofHours) },
};

const USER_COSTS = {
  head: sql.raw(
    preparedAs(
      'count_user_costs',
      `insert into usage_user_costs as kept (starts_on, group_id, attempts, cost_nano_usd)
        select (to_timestamp(starts_ms / 1000) at time zone 'UTC')::date, group_id, attempts, cost from json_to_recordset(`,
    ),
  ),
  tail: sql.raw(`) as delta(starts_ms bigint, group_id uuid, attempts bigint, cost bigint) order by 1, 2
    on conflict (starts_on, group_id) do update
      set attempts = kept.attempts + excluded.attempts, cost_nano_usd = kept.cost_nano_usd + excluded.cost_nano_usd`),
};

const GROUPS = {
  head: sql.raw(`insert into usage_groups (id, cube, ${GROUP_COLUMNS.join(', ')}) select * from json_to_recordset(`),
  tail: sql.raw(
    `) as new(id uuid, cube smallint, ${GROUP_COLUMNS.map((column) => `${column} text`).join(', ')}) order by id
      on conflict (id) do nothing`,
  ),
};

/**
 * Counts events in the rollups, in the transaction that records them. Rows are locked in the order of their keys and by the
 * same statements everywhere, so that two ledgers never wait for each other in a circle.
 * @param fresh events that had no row before this transaction
 * @throws what Postgres said
 */
export async function addToRollups(transaction: Transaction<Tables>, fresh: readonly UsageRecorded[]): Promise<void> {
  await addDeltas(transaction, rollUp(fresh));
}

/** SQL: the first of the four days that a date is of, as `FOUR_DAYS_MS` counts them. */
export function startOfFourDays(date: string): string {
  return `date '1970-01-01' + (${date} - date '1970-01-01') / 4 * 4`;
}

/** As `addToRollups`, for sums that are there already. */
export async function addDeltas(transaction: Transaction<Tables>, deltas: readonly Delta[]): Promise<void> {
  if (deltas.length === 0) return;
  const idOf = groupIds();
  const groups = new Map<string, NumberedGroup>();
  const rows = deltas.map((delta) => {
    const id = idOf(delta);
    groups.set(id, { cube: cubeId(delta), group: delta.group });
    return rowOf(delta, id);
  });
  const users = costsOfUsers(deltas).map((costs) => {
    const id = idOf(costs);
    groups.set(id, { cube: RANKED_USERS.id, group: costs.group });
    return costRowOf(costs, id);
  });
  await addGroups(transaction, groups);
  const isOneHour = deltas.every(({ hourMs }) => hourMs === deltas[0]?.hourMs);
  const { head, tail } = isOneHour ? COUNT.oneHour : COUNT.hours;
  await sql`${head}${JSON.stringify(rows)}${tail}`.execute(transaction);
  await sql`${USER_COSTS.head}${JSON.stringify(users)}${USER_COSTS.tail}`.execute(transaction);
}

/**
 * A group's id is a hash. It begins with one of the team (of tags: of the tag's name), so that the groups of a team lie side
 * by side in every index, and as far as they were made at once in the tables: what a team asks reads its own rows.
 */
function groupIds(): (of: { readonly group: Group; readonly groupText: string }) => string {
  const prefixes = new Map<string, string>();
  return ({ group, groupText }) => {
    const text = neighboursOf(group);
    let prefix = prefixes.get(text);
    if (prefix === undefined) prefixes.set(text, (prefix = prefixOf(text)));
    return prefix + hash('md5', groupText).slice(PREFIX);
  };
}

/** Hexadecimal digits of an id. */
const PREFIX = 8;

function prefixOf(text: string): string {
  return hash('md5', text).slice(0, PREFIX);
}

/** The ids of a team's or a tag's groups lie within these, and few others do. */
export function idsOf(tagOrTeam: string | null): { readonly first: string; readonly last: string } {
  const prefix = prefixOf(neighbours(tagOrTeam));
  return { first: prefix.padEnd(32, '0'), last: prefix.padEnd(32, 'f') };
}

interface NumberedGroup {
  readonly cube: number;
  readonly group: Group;
}

/** Nearly all are there already: those are looked up, and no more. */
async function addGroups(transaction: Transaction<Tables>, groups: ReadonlyMap<string, NumberedGroup>): Promise<void> {
  // Nobody takes away unused groups between our look and our count (retention.ts).
  await sql`lock table usage_groups in row exclusive mode`.execute(transaction);
  const { rows } = await sql<{ id: string }>`
    select replace(id::text, '-', '') as id from unnest(${`{${[...groups.keys()].join()}}`}::uuid[]) as wanted(id)
    where not exists (select from usage_groups where usage_groups.id = wanted.id)`.execute(transaction);
  if (rows.length === 0) return;
  const fresh = rows.map(({ id }) => {
    const { cube, group = [] }: Partial<NumberedGroup> = groups.get(id) ?? {};
    return { id, cube, ...Object.fromEntries(GROUP_COLUMNS.map((column, i) => [column, group[i] ?? null])) };
  });
  await sql`${GROUPS.head}${JSON.stringify(fresh)}${GROUPS.tail}`.execute(transaction);
}

function costRowOf({ startsMs, attempts, costNanoUsd }: UserCosts, id: string): object {
  return { starts_ms: startsMs, group_id: id, attempts, cost: String(costNanoUsd) };
}

/** As `RECORDSET` reads it. */
function rowOf(delta: Delta, id: string): object {
  const { hourMs, counters, costNanoUsd, buckets } = delta;
  const row: Record<string, string | number> = {
    ...{ cube: cubeId(delta), hour_ms: hourMs, group_id: id, cost: String(costNanoUsd) },
  };
  for (const [i, column] of COUNTERS.entries()) if (counters[column] !== 0) row[`n${i}`] = counters[column];
  for (const [i, count] of buckets) row[`b${i}`] = count;
  return row;
}
