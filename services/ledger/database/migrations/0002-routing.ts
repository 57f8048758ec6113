import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Why a deployment was chosen, and what a key may say of its requests' routing. Attempts of before say neither. */
export const routing: Migration = {
  async up(db: Kysely<unknown>) {
    // Columns without a default: no row is rewritten, and nobody waits.
    await sql`alter table attempts add column reason text, add column variant text, add column lane text`.execute(db);
    await sql`comment on column attempts.lane is 'null: interactive'`.execute(db);
    await sql`alter table api_keys add column overrides text[]`.execute(db);
    await sql`comment on column api_keys.overrides is 'null: all'`.execute(db);
  },
};
