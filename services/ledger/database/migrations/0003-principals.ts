import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * Who may ask, and what holds for them: organisations, teams, users, more of the keys, limits and blocks by scope. Each
 * row's `version` is its ETag. Scopes are texts (shared/scope.ts) without foreign keys: a rule may come before its team.
 */
export const principals: Migration = {
  async up(db: Kysely<unknown>) {
    // Raised with every change of a key or a rule: ingresses that are behind forget what they know.
    await sql`create table revisions (is_only boolean primary key default true check (is_only), revision bigint not null)`.execute(
      db,
    );
    await sql`insert into revisions (revision) values (1)`.execute(db);

    // What a dead worker and its ingress took with them is closed by a ledger.
    await sql`
      alter table attempts drop constraint attempts_source_check,
        add constraint attempts_source_check check (source in ('worker', 'ingress', 'reaper'))`.execute(db);

    for (const table of ['organisations', 'teams', 'users']) {
      await sql`
        create table ${sql.table(table)} (
          id text collate "C" primary key check (id ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$'),
          name text not null,
          tags jsonb not null default '{}',
          version bigint not null default 1,
          created_at timestamptz not null default now(),
          updated_at timestamptz not null default now()
        )`.execute(db);
    }
    await sql`alter table teams add column organisation text references organisations (id)`.execute(db);
    await sql`alter table users
      add column team text references teams (id), add column email text, add column subject text unique`.execute(db);
    await sql`comment on column users.subject is 'the issuer and the subject of its tokens (OIDC), one text'`.execute(
      db,
    );
    // Keys named their team before there were teams.
    await sql`
      insert into teams (id, name)
      select distinct team, team from api_keys
      where team ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$' on conflict do nothing`.execute(db);

    await sql`
      alter table api_keys
        add column user_id text,
        add column organisation text,
        add column role text check (role in ('owner', 'admin', 'viewer', 'team_admin')),
        add column expires_at timestamptz,
        add column blocked_at timestamptz,
        add column routes text[],
        add column models text[],
        add column regions text[],
        add column networks text[],
        add column may_name text[],
        add column tags jsonb not null default '{}',
        add column log_payloads text not null default 'none' check (log_payloads in ('none', 'redacted', 'full')),
        add column old_hash text collate "C" unique check (old_hash ~ '^[0-9a-f]{64}$'),
        add column old_hash_until timestamptz,
        add column hash_kind text not null default 'sha256' check (hash_kind in ('sha256', 'hmac')),
        add column version bigint not null default 1,
        add column updated_at timestamptz not null default now()`.execute(db);
    await sql`update api_keys set role = 'owner' where is_admin`.execute(db);
    await sql`comment on column api_keys.hash_kind is 'hmac: of the SHA-256, under the secret of the ledger'`.execute(
      db,
    );
    await sql`comment on column api_keys.old_hash is 'of the token before the last rotation, good until old_hash_until'`.execute(
      db,
    );

    await sql`
      create table limits (
        id text collate "C" primary key,
        scope text collate "C" not null,
        requests_per_minute bigint check (requests_per_minute > 0),
        tokens_per_minute bigint check (tokens_per_minute > 0),
        cost_nano_usd bigint check (cost_nano_usd > 0),
        cost_window_ms bigint check (cost_window_ms > 0),
        concurrent bigint check (concurrent > 0),
        burst bigint check (burst > 0),
        version bigint not null default 1,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check ((cost_nano_usd is null) = (cost_window_ms is null))
      )`.execute(db);
    await sql`create index limits_by_scope on limits (scope)`.execute(db);

    await sql`
      create table blocks (
        scope text collate "C" primary key,
        reason text not null,
        blocked_by text not null,
        blocked_at timestamptz not null default now()
      )`.execute(db);
  },
};
