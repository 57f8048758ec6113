import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const COUNTERS = [
  ...['attempts', 'cache_hits', 'estimated', 'unknown_price', 'input_tokens', 'cached_input_tokens', 'output_tokens'],
  ...['reasoning_tokens', 'queue_ms', 'ttft_ms', 'duration_ms'],
].map((name) => `${name} bigint not null`);
const GROUP_COLUMNS = [
  ...['organisation', 'team', 'user_id', 'key_id', 'key_name', 'feature', 'tag_name', 'tag_value', 'model', 'route'],
  ...['deployment', 'provider', 'endpoint', 'lane', 'variant', 'reason', 'error'],
];
/** Histograms of powers of two, in milliseconds. */
const BUCKETS = ['ttft', 'duration'].flatMap((measure) => {
  const bounds = Array.from({ length: 18 }, (_, i) => 2 ** (i + 3));
  const from = (i: number): string => (i === 0 ? '' : ` and ${measure}_ms >= ${2 ** (i + 2)}`);
  return [
    ...bounds.map((to, i) => ({ name: `${measure}_below_${to}`, holds: `${measure}_ms < ${to}${from(i)}` })),
    { name: `${measure}_longer`, holds: `${measure}_ms >= ${2 ** 20}` },
  ];
});

/**
 * Sums by hour and by day (UTC) of when an attempt began, and what was recorded so far counted in them. And corrections of
 * what attempts have cost: entries of their own, for an attempt is never edited.
 */
export const rollups: Migration = {
  async up(db: Kysely<unknown>) {
    await sql
      .raw(
        `create table usage_groups (
          id uuid primary key,
          cube smallint not null,
          ${GROUP_COLUMNS.map((column) => `${column} text`).join(', ')}
        )`,
      )
      .execute(db);
    await sql`comment on table usage_groups is 'id: a hash of all other columns; cube: 1 main, 2 users, 3 tags'`.execute(
      db,
    );
    await createTable(db, 'usage_hourly', 'hour timestamptz');
    await createTable(db, 'usage_daily', 'day date');
    // Where there is none, everything is still there. Reports ask elsewhere for what was before.
    await sql`
      create table retention_marks (
        kept text primary key check (kept in ('attempts', 'rollups_hourly', 'rollups_daily')),
        since timestamptz not null
      )`.execute(db);
    await countAttempts(db);

    await sql`
      create table corrections (
        id bigint generated always as identity primary key,
        attempt_id text collate "C" not null,
        amount_nano_usd bigint not null,
        is_first_price boolean not null,
        rates bigint[] not null,
        reason text not null,
        corrected_by text not null,
        corrected_at timestamptz not null default now()
      )`.execute(db);
    await sql`comment on column corrections.amount_nano_usd is 'added to what the attempt has cost so far; may be negative'`.execute(
      db,
    );
    await sql`comment on column corrections.is_first_price is 'the attempt had no known price before'`.execute(db);
    await sql`create index corrections_by_attempt on corrections (attempt_id)`.execute(db);
    await sql`
      create trigger append_only before update or delete or truncate on corrections
      for each statement execute function refuse_change()`.execute(db);
  },
};

async function createTable(db: Kysely<unknown>, table: string, bucket: string): Promise<void> {
  const [name] = bucket.split(' ');
  // A row is updated many times in its hour: room in its page spares the index.
  await sql
    .raw(
      `create table ${table} (
        cube smallint not null,
        ${bucket} not null,
        group_id uuid not null,
        ${COUNTERS.join(', ')},
        cost_nano_usd numeric not null,
        ${BUCKETS.map((column) => `${column.name} integer`).join(', ')},
        primary key (cube, ${name}, group_id)
      ) with (fillfactor = 70)`,
    )
    .execute(db);
}

/** Attempts of before name neither an organisation nor a user nor tags: they are in the cubes 1 and 2. */
async function countAttempts(db: Kysely<unknown>): Promise<void> {
  const grouped = GROUP_COLUMNS.map((column) => `grouped.${column}`).join(', ');
  await sql
    .raw(
      `create temporary table sums on commit drop as
        select grouped.cube, date_trunc('hour', started_at, 'UTC') as hour,
          md5(row(grouped.cube, ${grouped})::text)::uuid as group_id, ${grouped},
          count(*) as attempts, 0 as cache_hits, count(*) filter (where is_estimated) as estimated,
          count(*) filter (where cost_nano_usd is null) as unknown_price, sum(input_tokens) as input_tokens,
          sum(cached_input_tokens) as cached_input_tokens, sum(output_tokens) as output_tokens,
          sum(reasoning_tokens) as reasoning_tokens, sum(queue_ms) as queue_ms,
          coalesce(sum(ttft_ms), 0) as ttft_ms, sum(duration_ms) as duration_ms,
          coalesce(sum(cost_nano_usd), 0) as cost_nano_usd,
          ${BUCKETS.map(({ name, holds }) => `nullif(count(*) filter (where ${holds}), 0) as ${name}`).join(', ')}
        from attempts as attempt cross join lateral (values
          (1::smallint, null::text, team, null::text, key_id, key_name, null::text, null::text, null::text, model, route,
            deployment, provider, endpoint, coalesce(lane, 'interactive'), variant, reason, error),
          (2::smallint, null, team, null, null, null, null, null, null, model, null, null, null, null, null, null, null,
            error)
        ) as grouped(cube, ${GROUP_COLUMNS.join(', ')})
        group by grouped.cube, 2, ${grouped}`,
    )
    .execute(db);
  const names = GROUP_COLUMNS.join(', ');
  const sums = [
    ...COUNTERS.map((column) => column.split(' ')[0] ?? ''),
    'cost_nano_usd',
    ...BUCKETS.map(({ name }) => name),
  ];
  await sql
    .raw(`insert into usage_groups (id, cube, ${names}) select distinct group_id, cube, ${names} from sums`)
    .execute(db);
  for (const [table, bucket, value] of [
    ['usage_hourly', 'hour', 'hour'],
    ['usage_daily', 'day', "(hour at time zone 'UTC')::date"],
  ] as const)
    await sql
      .raw(
        `insert into ${table} (cube, ${bucket}, group_id, ${sums.join(', ')})
          select cube, ${value}, group_id, ${sums.map((column) => `sum(${column})`).join(', ')} from sums group by 1, 2, 3`,
      )
      .execute(db);
}
