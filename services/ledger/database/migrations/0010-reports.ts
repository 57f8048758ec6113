import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const GROUP_COLUMNS = [
  ...['organisation', 'team', 'user_id', 'key_id', 'key_name', 'feature', 'tag_name', 'tag_value', 'model', 'route'],
  ...['deployment', 'provider', 'endpoint', 'lane', 'variant', 'reason', 'error'],
];
const SUMS = [
  ...['attempts', 'cache_hits', 'estimated', 'unknown_price', 'input_tokens', 'cached_input_tokens', 'output_tokens'],
  ...['reasoning_tokens', 'queue_ms', 'ttft_ms', 'duration_ms', 'cost_nano_usd'],
  ...['ttft', 'duration'].flatMap((measure) => [
    ...Array.from({ length: 18 }, (_, i) => `${measure}_below_${2 ** (i + 3)}`),
    `${measure}_longer`,
  ]),
];

/**
 * Sums of fewer groups than there were, for the reports that are asked most: by team, and what users cost, by four days. Both
 * are added up from the sums that are there, with the corrections in them. And the ids of groups begin alike for those of a
 * team or a tag, so that what is asked of one is read together: all sums are written anew in their order.
 */
export const reports: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`set local work_mem = '128MB'`.execute(db);
    await sql`
      comment on table usage_groups is
      'id: hashes of the tag or the team, and of all other columns; cube: 1 main, 2 users, 3 tags, 4 teams; 5: of usage_user_costs'`.execute(
      db,
    );
    await becoming(db, 'renamed', 'cube', GROUP_COLUMNS, 'cube in (1, 2, 3)');
    await sql`update usage_groups set id = renamed.id from renamed where usage_groups.id = from_id`.execute(db);
    await sql`update renamed set from_id = id, old_id = from_id`.execute(db);
    await becoming(db, 'teams', '4::smallint', ['organisation', 'team', 'error'], 'cube = 1');
    await becoming(db, 'ranked', '5::smallint', ['organisation', 'team', 'user_id'], 'cube = 2');
    for (const table of ['teams', 'ranked']) {
      const columns = ['cube', ...GROUP_COLUMNS].join(', ');
      await sql
        .raw(`insert into usage_groups (id, ${columns}) select distinct id, ${columns} from ${table}`)
        .execute(db);
    }
    await rewrite(db, 'usage_hourly', 'hour');
    await rewrite(db, 'usage_daily', 'day');
    await sql`create index usage_groups_by_team on usage_groups (cube, team)`.execute(db);
    await sql`create index usage_groups_by_user on usage_groups (cube, user_id)`.execute(db);

    await sql`
      create table usage_user_costs (
        starts_on date not null,
        group_id uuid not null,
        attempts bigint not null,
        cost_nano_usd numeric not null,
        primary key (starts_on, group_id)
      ) with (fillfactor = 70)`.execute(db);
    await sql`comment on column usage_user_costs.starts_on is 'the first of four days, counted from 1970-01-01'`.execute(
      db,
    );
    await sql`
      insert into usage_user_costs (starts_on, group_id, attempts, cost_nano_usd)
      select date '1970-01-01' + (day - date '1970-01-01') / 4 * 4, id, sum(attempts), sum(cost_nano_usd)
      from usage_daily join ranked on from_id = group_id where usage_daily.cube = 2
      group by 1, 2 order by 1, 2`.execute(db);
  },
};

/** Which group (`id`) of the given columns alone each group that `isMeant` becomes (`from_id`); an id as the writer makes it. */
async function becoming(
  db: Kysely<unknown>,
  table: string,
  cube: string,
  kept: readonly string[],
  isMeant: string,
): Promise<void> {
  const columns = GROUP_COLUMNS.map((column) => (kept.includes(column) ? column : `null::text as ${column}`));
  const id = `left(md5(row(coalesce(tag_name, team))::text), 8) || right(md5(row(cube, ${GROUP_COLUMNS.join(', ')})::text), 24)`;
  await sql
    .raw(
      `create temporary table ${table} on commit drop as
        select from_id, null::uuid as old_id, (${id})::uuid as id, cube, ${GROUP_COLUMNS.join(', ')}
        from (select id as from_id, ${cube} as cube, ${columns.join(', ')} from usage_groups where ${isMeant}) as meant`,
    )
    .execute(db);
}

/** Anew, not updated: that would take twice the time, and leave twice the room. */
async function rewrite(db: Kysely<unknown>, table: string, bucket: string): Promise<void> {
  const [names, sums] = [SUMS.join(', '), SUMS.map((name) => `sum(${name})`).join(', ')];
  for (const statement of [
    `alter table ${table} rename to ${table}_before`,
    `alter index ${table}_pkey rename to ${table}_before_pkey`,
    `create table ${table} (like ${table}_before including all) with (fillfactor = 70)`,
    `insert into ${table} (cube, ${bucket}, group_id, ${names})
      select before.cube, ${bucket}, renamed.id, ${names} from ${table}_before as before join renamed on old_id = group_id
      order by 1, 2, 3`,
    `insert into ${table} (cube, ${bucket}, group_id, ${names})
      select 4, ${bucket}, teams.id, ${sums} from ${table} as sums join teams on from_id = group_id where sums.cube = 1
      group by 2, 3 order by 2, 3`,
    `drop table ${table}_before`,
  ])
    await sql.raw(statement).execute(db);
}
