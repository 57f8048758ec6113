import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import { GROUP_COLUMNS } from './core/cubes.ts';
import type { Delta } from './core/roll-up.ts';
import { BUCKETS, COUNTERS, rollUp } from './core/roll-up.ts';
import type { Tables } from './schema.ts';

/** Every sum of a rollup row. */
const SUMS = [...COUNTERS, 'cost_nano_usd'];

const groupColumns = GROUP_COLUMNS.join(', ');
/** The same text for the same group at every ledger, whatever its values: a row's text quotes and escapes them. */
const GROUP_ID = `md5(row(cube, ${groupColumns})::text)::uuid`;
const RECORDSET = [
  'cube smallint',
  'hour_ms bigint',
  ...GROUP_COLUMNS.map((column) => `${column} text`),
  ...COUNTERS.map((column) => `${column} bigint`),
  'cost_nano_usd numeric',
  ...BUCKETS.map((column) => `${column} bigint`),
].join(', ');
const HOUR = 'to_timestamp(hour_ms / 1000)';
const DAY = `(${HOUR} at time zone 'UTC')::date`;

/**
 * Rows are locked in the order of their keys, groups before hours before days, so that two ledgers never wait for each
 * other in a circle.
 */
const GROUPS = {
  head: sql.raw(
    `insert into usage_groups (id, cube, ${groupColumns})
      select distinct ${GROUP_ID} as id, cube, ${groupColumns} from json_to_recordset(`,
  ),
  tail: sql.raw(`) as delta(${RECORDSET}) order by id on conflict (id) do nothing`),
};
const HOURS = upsertInto('usage_hourly', 'hour', HOUR);
const DAYS = upsertInto('usage_daily', 'day', DAY);

function upsertInto(table: string, bucket: string, value: string) {
  const columns = [...SUMS, ...BUCKETS];
  const added = [
    ...SUMS.map((column) => `${column} = kept.${column} + excluded.${column}`),
    ...BUCKETS.map(
      (column) => `${column} = coalesce(kept.${column} + excluded.${column}, kept.${column}, excluded.${column})`,
    ),
  ];
  return {
    head: sql.raw(
      `insert into ${table} as kept (cube, ${bucket}, group_id, ${columns.join(', ')})
        select cube, ${value} as bucket, ${GROUP_ID} as group_id, ${columns.map((column) => `sum(${column})`).join(', ')}
        from json_to_recordset(`,
    ),
    tail: sql.raw(
      `) as delta(${RECORDSET}) group by 1, 2, 3 order by 1, 2, 3
        on conflict (cube, ${bucket}, group_id) do update set ${added.join(', ')}`,
    ),
  };
}

/**
 * Counts events in the rollups, in the transaction that records them.
 * @param fresh events that have no row yet, or had none before this transaction
 * @throws what Postgres said
 */
export async function addToRollups(transaction: Transaction<Tables>, fresh: readonly UsageRecorded[]): Promise<void> {
  await addDeltas(transaction, rollUp(fresh));
}

/** As `addToRollups`, for sums that are there already. */
export async function addDeltas(transaction: Transaction<Tables>, deltas: readonly Delta[]): Promise<void> {
  if (deltas.length === 0) return;
  const rows = JSON.stringify(deltas);
  for (const { head, tail } of [GROUPS, HOURS, DAYS]) await sql`${head}${rows}${tail}`.execute(transaction);
}
