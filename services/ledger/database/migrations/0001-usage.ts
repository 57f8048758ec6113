import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * The account of every attempt, the keys, and what could not be recorded. Ids sort bytewise (collation C): compared
 * faster, and the index answers "all attempts of this request" as a prefix.
 */
export const usage: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      create table attempts (
        attempt_id text collate "C" primary key,
        request_id text not null,
        attempt smallint not null,
        source text not null check (source in ('worker', 'ingress')),
        started_at timestamptz not null check (started_at < '10000-01-01'),
        key_id text not null,
        key_name text not null,
        team text,
        model text not null,
        route text,
        deployment text not null,
        provider text not null,
        upstream_model text not null,
        endpoint text not null,
        is_stream boolean not null,
        input_tokens integer not null check (input_tokens >= 0),
        output_tokens integer not null check (output_tokens >= 0),
        cached_input_tokens integer not null check (cached_input_tokens >= 0),
        reasoning_tokens integer not null check (reasoning_tokens >= 0),
        is_estimated boolean not null,
        cost_nano_usd bigint check (cost_nano_usd >= 0),
        queue_ms integer not null,
        ttft_ms integer,
        duration_ms integer not null,
        upstream_status smallint,
        finish text,
        error text,
        worker text not null,
        ingress text not null,
        traceparent text,
        recorded_at timestamptz not null default now()
      )`.execute(db);
    await sql`comment on column attempts.cost_nano_usd is '1 USD = 1000000000; null: no price is known'`.execute(db);
    await sql`create index attempts_by_time on attempts (started_at)`.execute(db);
    await sql`create index attempts_by_key on attempts (key_id, started_at)`.execute(db);

    // Money is never rewritten. Whoever must delete (a retention policy) disables the trigger and so leaves a trace.
    await sql`
      create function refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
      end $$`.execute(db);
    await sql`
      create trigger append_only before update or delete or truncate on attempts
      for each statement execute function refuse_change()`.execute(db);

    await sql`
      create table api_keys (
        id text collate "C" primary key,
        name text not null,
        hash text collate "C" not null unique check (hash ~ '^[0-9a-f]{64}$'),
        prefix text not null,
        team text,
        is_admin boolean not null default false,
        created_at timestamptz not null default now(),
        revoked_at timestamptz
      )`.execute(db);
    await sql`create unique index api_keys_live_name on api_keys (name) where revoked_at is null`.execute(db);

    await sql`
      create table poisoned_events (
        digest text collate "C" primary key,
        event text not null,
        reason text not null,
        put_aside_at timestamptz not null default now()
      )`.execute(db);
  },
};
