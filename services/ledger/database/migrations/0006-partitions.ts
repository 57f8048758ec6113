import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * The account by months. An attempt's id begins with the millisecond of its request (UUID v7), so months are ranges of ids:
 * the primary key stays the id alone, which is what records an attempt once, and it is unique over all partitions.
 * The table of before becomes the first partition; its rows stay where they are. Ids of another shape sort after all
 * months, or before them, and have a place too.
 */
export const partitions: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table attempts rename to attempts_first`.execute(db);
    for (const name of ['pkey', 'by_time', 'by_key'])
      await sql.raw(`alter index attempts_${name} rename to attempts_first_${name}`).execute(db);
    // Columns without a default: no row is rewritten.
    await sql`
      alter table attempts_first
        add column organisation text,
        add column user_id text,
        add column feature text,
        add column session text,
        add column tags jsonb,
        add column charged_at timestamptz,
        add column reserved_nano_usd bigint check (reserved_nano_usd >= 0),
        add column leases text[],
        add column rates bigint[],
        add column cache_hit boolean,
        add column earlier jsonb,
        add column guardrails jsonb,
        drop constraint attempts_source_check,
        add constraint attempts_source_check check (source in ('worker', 'ingress', 'reaper')),
        add constraint attempts_charged_at_check check (charged_at < '10000-01-01')`.execute(db);
    await sql`comment on column attempts_first.charged_at is 'decides the windows of budgets; null: started_at, as of attempts before there were budgets'`.execute(
      db,
    );
    await sql`comment on column attempts_first.rates is 'nano-dollars per million tokens: input, cached input, output, reasoning output'`.execute(
      db,
    );

    await sql`
      create table attempts (like attempts_first including defaults including constraints including comments)
      partition by range (attempt_id)`.execute(db);
    await sql`alter table attempts add constraint attempts_pkey primary key (attempt_id)`.execute(db);
    await sql`create index attempts_by_time on attempts (started_at)`.execute(db);
    await sql`create index attempts_by_key on attempts (key_id, started_at)`.execute(db);
    await sql`create table attempts_default partition of attempts default`.execute(db);

    const { rows } = await sql<{ end: string }>`
      select 'req_' || lpad(to_hex((extract(epoch from
        (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC') * 1000)::bigint), 12, '0')
        as end`.execute(db);
    const end = sql.lit(rows[0]?.end);
    await sql`alter table attempts_first disable trigger append_only`.execute(db);
    await sql`
      with others as (delete from attempts_first where attempt_id >= ${end} returning *)
      insert into attempts_default select * from others`.execute(db);
    await sql`alter table attempts_first enable trigger append_only`.execute(db);
    await sql`alter table attempts attach partition attempts_first for values from (minvalue) to (${end})`.execute(db);

    // A statement's trigger holds for the table it names, so each partition has one; that for rows comes with the parent's.
    for (const table of ['attempts', 'attempts_default'])
      await sql`
        create trigger append_only before update or delete or truncate on ${sql.table(table)}
        for each statement execute function refuse_change()`.execute(db);
    await sql`
      create trigger append_only_rows before update or delete on attempts
      for each row execute function refuse_change()`.execute(db);
  },
};
