import { hash } from 'node:crypto';
import type { Transaction } from 'kysely';
import { CompiledQuery } from 'kysely';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { Group } from '../core/cubes.ts';
import {
  BY_FOUR_DAYS,
  CUBES,
  GROUP_COLUMNS,
  groupText,
  neighbours,
  neighboursOf,
  RANKED_USERS,
} from '../core/cubes.ts';
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
  from json_to_recordset($1) as delta(${RECORDSET})`;
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

/** Reads a second list: what `UserCosts` are read as. */
const USER_COSTS = `
  insert into usage_user_costs as kept (starts_on, group_id, attempts, cost_nano_usd)
    select (to_timestamp(starts_ms / 1000) at time zone 'UTC')::date, group_id, attempts, cost from json_to_recordset($2)
      as delta(starts_ms bigint, group_id uuid, attempts bigint, cost bigint) order by 1, 2
    on conflict (starts_on, group_id) do update
      set attempts = kept.attempts + excluded.attempts, cost_nano_usd = kept.cost_nano_usd + excluded.cost_nano_usd`;

const GROUP = `id uuid, cube smallint, ${GROUP_COLUMNS.map((column) => `${column} text`).join(', ')}`;

/**
 * One statement for all tables: another one would cost the writer as much as some ten events. Groups that we know go as ids,
 * others with their values, and what was not there comes back. A statement that may insert groups keeps those from being
 * taken away that nobody uses, from before it looks to the end of its transaction (retention.ts).
 */
const countBy = (name: string, select: typeof ofHours): string =>
  preparedAs(
    name,
    `with delta as materialized (${DELTA}), users as (${USER_COSTS}),
    hours as (
      insert into usage_hourly as kept (cube, hour, group_id, ${KEPT.join(', ')})
      select cube, hour, group_id, ${KEPT.join(', ')} from delta order by 1, 2, 3
      on conflict (cube, hour, group_id) do update set ${ADDED}
    ), days as (
      insert into usage_daily as kept (cube, day, group_id, ${KEPT.join(', ')}) ${select(DAY, 'true')}
      on conflict (cube, day, group_id) do update set ${ADDED}
    ), four_days as (
      insert into usage_four_days as kept (cube, starts_on, group_id, ${KEPT.join(', ')})
      ${select(FOUR_DAYS, IS_BY_FOUR_DAYS)}
      on conflict (cube, starts_on, group_id) do update set ${ADDED}
    )
    insert into usage_groups (id, cube, ${GROUP_COLUMNS.join(', ')})
    select id, 0, ${GROUP_COLUMNS.map(() => 'null').join(', ')} from unnest($3::uuid[]) as known(id)
    union all select * from json_to_recordset($4) as new(${GROUP})
    order by 1, 2 desc on conflict (id) do nothing returning replace(id::text, '-', '') as id`,
  );
const COUNT = { oneHour: countBy('count_hour', ofOneHour), hours: countBy('count_hours', ofHours) };

const FILL_GROUPS = `
  update usage_groups set (cube, ${GROUP_COLUMNS.join(', ')}) = row(new.cube, ${GROUP_COLUMNS.map((column) => `new.${column}`).join(', ')})
  from json_to_recordset($1) as new(${GROUP}) where usage_groups.id = new.id`;

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
  const known: string[] = [];
  const fresh = new Map<string, string>();
  const idOf = (cube: number, { key, group }: Keyed): string => {
    let id = knownIds.get(key);
    if (id === undefined) {
      id = groupId(cube, group);
      fresh.set(id, groupRow(id, cube, group));
      know(key, id);
    } else if (!fresh.has(id)) known.push(id);
    return id;
  };
  const users = costsOfUsers(deltas);
  const rows = deltas.map((delta) => rowOf(delta, idOf(cubeId(delta), delta)));
  const costs = users.map((user) => costRowOf(user, idOf(RANKED_USERS.id, user)));
  const isOneHour = deltas.every(({ hourMs }) => hourMs === deltas[0]?.hourMs);
  const count = isOneHour ? COUNT.oneHour : COUNT.hours;
  const parameters = [listOf(rows), listOf(costs), `{${known.join()}}`, listOf([...fresh.values()])];
  const added = await transaction.executeQuery<{ id: string }>(CompiledQuery.raw(count, parameters));
  const empty = new Set(added.rows.map(({ id }) => id).filter((id) => !fresh.has(id)));
  if (empty.size > 0) await fillGroups(transaction, empty, deltas, users);
}

/** Groups that were taken away since we came to know them, or never committed: so far they are ids without values. */
async function fillGroups(
  transaction: Transaction<Tables>,
  ids: ReadonlySet<string>,
  deltas: readonly Delta[],
  users: readonly UserCosts[],
): Promise<void> {
  const groups = new Map<string, string>();
  const add = (cube: number, group: Group): void => {
    const id = groupId(cube, group);
    if (ids.has(id)) groups.set(id, groupRow(id, cube, group));
  };
  for (const delta of deltas) add(cubeId(delta), delta.group);
  for (const { group } of users) add(RANKED_USERS.id, group);
  await transaction.executeQuery(CompiledQuery.raw(FILL_GROUPS, [listOf([...groups.values()])]));
}

interface Keyed {
  /** As `Place.key`. */
  readonly key: string;
  readonly group: Group;
}

/** Ids of groups that were counted in of late, by their keys: most events are of few groups, and an id costs two hashes. */
let knownIds = new Map<string, string>();
/** Some four megabytes. Then all are forgotten: which were used least would cost more to know than it is worth. */
const MOST_KNOWN_IDS = 10_000;

function know(key: string, id: string): void {
  if (knownIds.size >= MOST_KNOWN_IDS) knownIds = new Map();
  knownIds.set(key, id);
}

/**
 * A group's id is a hash. It begins with one of the team (of tags: of the tag's name), so that the groups of a team lie side
 * by side in every index, and as far as they were made at once in the tables: what a team asks reads its own rows.
 */
function groupId(cube: number, group: Group): string {
  return prefixOf(neighboursOf(group)) + hash('md5', groupText(cube, group)).slice(PREFIX);
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

function listOf(rows: readonly string[]): string {
  return `[${rows.join()}]`;
}

const GROUP_FIELDS = GROUP_COLUMNS.map((column) => `,"${column}":`);

/** JSON, as `GROUP` reads it. */
function groupRow(id: string, cube: number, group: Group): string {
  let row = `{"id":"${id}","cube":${cube}`;
  for (const [i, value] of group.entries()) if (value !== null) row += GROUP_FIELDS[i] + JSON.stringify(value);
  return `${row}}`;
}

/** JSON, as `USER_COSTS` reads it. */
function costRowOf({ startsMs, attempts, costNanoUsd }: UserCosts, id: string): string {
  return `{"starts_ms":${startsMs},"group_id":"${id}","attempts":${attempts},"cost":"${costNanoUsd}"}`;
}

const COUNTER_FIELDS = COUNTERS.map((column, i) => [column, `,"n${i}":`] as const);
const BUCKET_FIELDS = BUCKETS.map((_, i) => `,"b${i}":`);

/** JSON, as `RECORDSET` reads it: numbers and an id, written a third as fast by way of an object. */
function rowOf(delta: Delta, id: string): string {
  const { hourMs, counters, costNanoUsd, buckets } = delta;
  let row = `{"cube":${cubeId(delta)},"hour_ms":${hourMs},"group_id":"${id}","cost":"${costNanoUsd}"`;
  for (const [column, field] of COUNTER_FIELDS) if (counters[column] !== 0) row += field + counters[column];
  for (let i = 0; i < buckets.length; i++) if (buckets[i] !== 0) row += `${BUCKET_FIELDS[i]}${buckets[i]}`;
  return `${row}}`;
}
