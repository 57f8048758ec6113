import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const GROUPED = new Set(['cube', 'day', 'group_id']);

/** The sums of the cubes 1 and 3 (main, tags) by four days too: a month by keys or projects then reads a third of the rows. */
export const fourDays: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table usage_four_days (like usage_daily including all) with (fillfactor = 70)`.execute(db);
    await sql`alter table usage_four_days rename column day to starts_on`.execute(db);
    await sql`comment on column usage_four_days.starts_on is 'the first of four days, counted from 1970-01-01'`.execute(
      db,
    );
    const { rows } = await sql<{ name: string }>`
      select attname as name from pg_attribute
      where attrelid = 'usage_daily'::regclass and attnum > 0 and not attisdropped order by attnum`.execute(db);
    const sums = rows.map(({ name }) => name).filter((name) => !GROUPED.has(name));
    await sql
      .raw(
        `insert into usage_four_days (cube, starts_on, group_id, ${sums.join(', ')})
          select cube, date '1970-01-01' + (day - date '1970-01-01') / 4 * 4, group_id,
            ${sums.map((name) => `sum(${name})`).join(', ')}
          from usage_daily where cube in (1, 3) group by 1, 2, 3 order by 1, 2, 3`,
      )
      .execute(db);
  },
};
