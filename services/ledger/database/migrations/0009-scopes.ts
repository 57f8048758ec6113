import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What an attempt was admitted under where that is not its model and its route: a correction reaches the same budgets. */
export const scopes: Migration = {
  async up(db: Kysely<unknown>) {
    // Columns without a default: no row is rewritten, in no partition.
    await sql`alter table attempts add column model_scope text, add column route_scope text`.execute(db);
    await sql`comment on column attempts.model_scope is 'the scope model: that it was admitted under; null: model'`.execute(
      db,
    );
    await sql`comment on column attempts.route_scope is 'the scope route: that it was admitted under; null: route; empty: none'`.execute(
      db,
    );
  },
};
