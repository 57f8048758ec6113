import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Who changed what: append-only, each record with the hash of the one before. And answers kept for `Idempotency-Key`. */
export const audit: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      create table audit_records (
        sequence bigint primary key,
        at timestamptz not null,
        actor text not null,
        actor_role text not null,
        origin text not null,
        action text not null,
        entity text not null,
        entity_id text not null,
        before jsonb,
        after jsonb,
        request_id text,
        previous_hash text not null,
        hash text not null check (hash ~ '^[0-9a-f]{64}$')
      )`.execute(db);
    await sql`
      create trigger append_only before update or delete or truncate on audit_records
      for each statement execute function refuse_change()`.execute(db);
    await sql`create index audit_records_by_entity on audit_records (entity, entity_id, sequence)`.execute(db);

    await sql`
      create table idempotent_answers (
        actor text not null,
        key text not null,
        request_hash text not null,
        status integer not null,
        headers jsonb not null,
        body jsonb,
        answered_at timestamptz not null default now(),
        primary key (actor, key)
      )`.execute(db);
    await sql`create index idempotent_answers_by_age on idempotent_answers (answered_at)`.execute(db);
  },
};
