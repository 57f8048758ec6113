import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** By which a ledger or a command with another secret than the keys are kept under is known before it does harm. */
export const keySecret: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      create table key_secret (
        is_only boolean primary key default true check (is_only),
        fingerprint text not null check (fingerprint ~ '^[0-9a-f]{64}$'),
        claimed_at timestamptz not null default now()
      )`.execute(db);
    // A token is looked up by either of its hashes.
    await sql`comment on column api_keys.hash is 'of the token: see hash_kind; old_hash is always an hmac'`.execute(db);
  },
};
