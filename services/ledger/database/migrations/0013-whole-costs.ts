import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const TABLES = ['usage_hourly', 'usage_daily', 'usage_four_days', 'usage_user_costs'];

/**
 * A row's cost as bigint, which holds nine billion dollars: adding it up as numeric was a tenth of a report, and most of
 * finding the dearest users. Sums of rows may be more; they are numeric all the same.
 */
export const wholeCosts: Migration = {
  async up(db: Kysely<unknown>) {
    for (const table of TABLES)
      await sql`alter table ${sql.table(table)} alter column cost_nano_usd type bigint`.execute(db);
  },
};
