import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * Budgets, their windows and the leases of these (docs/budgets.md). Money is nano-dollars. A window's invariant is
 * `spent + leased <= limit`; what went beyond it knowingly (a soft budget, a provider that counted more than was reserved, a
 * limit lowered below what was spent) is named in `excess`, and no lease is granted there.
 */
export const budgets: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      create table budgets (
        id text collate "C" primary key,
        name text not null,
        scope text collate "C" not null,
        amount_nano_usd bigint not null check (amount_nano_usd between 0 and 9000000000000000),
        per text not null check (per in ('day', 'week', 'month', 'rolling', 'total')),
        rolling_ms bigint check (rolling_ms > 0),
        time_zone text not null default 'UTC',
        is_hard boolean not null default true,
        on_limit jsonb not null default '{"kind":"reject"}',
        alert_at integer[] not null default '{50,80,100}',
        raised_by_nano_usd bigint not null default 0 check (raised_by_nano_usd >= 0),
        raised_until timestamptz,
        is_configured boolean not null default false,
        is_live boolean not null default true,
        version bigint not null default 1,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check ((per = 'rolling') = (rolling_ms is not null))
      )`.execute(db);
    await sql`comment on column budgets.is_configured is 'written in the configuration file, and changed only there'`.execute(
      db,
    );
    await sql`comment on column budgets.is_live is 'false: taken away; its windows stay, as the account of what was'`.execute(
      db,
    );
    await sql`create index budgets_by_scope on budgets (scope) where is_live`.execute(db);

    await sql`
      create table budget_windows (
        budget_id text collate "C" not null references budgets (id),
        subject text collate "C" not null,
        starts_at timestamptz not null,
        ends_at timestamptz not null,
        limit_nano_usd bigint not null check (limit_nano_usd >= 0),
        spent_nano_usd bigint not null default 0,
        leased_nano_usd bigint not null default 0 check (leased_nano_usd >= 0),
        excess_nano_usd bigint not null default 0 check (excess_nano_usd >= 0),
        primary key (budget_id, subject, starts_at),
        constraint never_overshot check (spent_nano_usd + leased_nano_usd <= limit_nano_usd + excess_nano_usd)
      )`.execute(db);
    await sql`comment on table budget_windows is 'subject: the scope itself where the budget is for a pattern; rolling and total budgets have one window, from -infinity to infinity'`.execute(
      db,
    );

    // A rolling budget's spending by parts of its length: what has left the length is taken from its window.
    await sql`
      create table budget_parts (
        budget_id text collate "C" not null,
        subject text collate "C" not null,
        starts_at timestamptz not null,
        spent_nano_usd bigint not null,
        primary key (budget_id, subject, starts_at)
      )`.execute(db);

    await sql`
      create table budget_leases (
        id text collate "C" primary key,
        budget_id text collate "C" not null,
        subject text collate "C" not null,
        starts_at timestamptz not null,
        ingress text not null,
        amount_nano_usd bigint not null check (amount_nano_usd >= 0),
        settled_nano_usd bigint not null default 0 check (settled_nano_usd between 0 and amount_nano_usd),
        is_closed boolean not null default false,
        granted_at timestamptz not null default now(),
        expires_at timestamptz not null,
        foreign key (budget_id, subject, starts_at) references budget_windows (budget_id, subject, starts_at)
      )`.execute(db);
    await sql`comment on column budget_leases.settled_nano_usd is 'moved to spent by events; the window has amount - settled as leased'`.execute(
      db,
    );
    await sql`create index budget_leases_by_window on budget_leases (budget_id, subject, starts_at) where not is_closed`.execute(
      db,
    );
    await sql`create index budget_leases_by_expiry on budget_leases (expires_at)`.execute(db);

    await sql`
      create table budget_alerts (
        budget_id text collate "C" not null,
        subject text collate "C" not null,
        starts_at timestamptz not null,
        percent integer not null,
        spent_nano_usd bigint not null,
        limit_nano_usd bigint not null,
        raised_at timestamptz not null default now(),
        deliveries integer not null default 0,
        next_delivery_at timestamptz,
        delivered_at timestamptz,
        delivered_to text[] not null default '{}',
        primary key (budget_id, subject, starts_at, percent)
      )`.execute(db);
    await sql`create index budget_alerts_due on budget_alerts (next_delivery_at) where delivered_at is null`.execute(
      db,
    );
  },
};
