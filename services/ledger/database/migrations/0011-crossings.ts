import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Whom ingresses have to ask about anew, because a soft budget of theirs has come to its end, or has room again. */
export const crossings: Migration = {
  async up(db: Kysely<unknown>) {
    // No key but a number: who writes a note never waits for who reads one.
    await sql`
      create table budget_crossings (
        id bigint generated always as identity primary key,
        subject text collate "C" not null
      )`.execute(db);
    await sql`comment on table budget_crossings is 'told to the ingresses within a second, and deleted'`.execute(db);
  },
};
