import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import type { Log } from '../../../shared/log.ts';
import { openDatabase, reasonOf } from './database.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { makePartitions } from './partitions.ts';

/** Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_001;

/**
 * Brings the database's tables to this version; forward only. Ledgers that start at once wait for each other: kysely's own
 * lock comes after it has made its tables, and that races, so all of it runs under ours.
 * The account's next months are made too; where that must wait, housekeeping makes them.
 * Has a connection pool of its own, because a migration may take longer than any statement of the service.
 * @throws what Postgres said; the database is then as before the migration that failed
 */
export async function migrate(url: string, log: Pick<Log, 'info' | 'warn'>): Promise<void> {
  const db = openDatabase({ url, log, statementTimeoutMs: 0 });
  try {
    await db.connection().execute(async (holder) => {
      // Held by this connection; goes with it if this process dies.
      await sql`select pg_advisory_lock(${LOCK})`.execute(holder);
      try {
        const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve({ ...MIGRATIONS }) } });
        const { error, results = [] } = await migrator.migrateToLatest();
        for (const { migrationName, status } of results) log.info({ migration: migrationName, status }, 'migration');
        if (error !== undefined)
          throw error instanceof Error ? error : new Error('the migration failed', { cause: error });
        await makePartitions(db, new Date()).catch((failure: unknown) => {
          log.warn({ reason: reasonOf(failure) }, 'the months ahead are not made yet');
        });
      } finally {
        await sql`select pg_advisory_unlock(${LOCK})`.execute(holder);
      }
    });
  } finally {
    await db.destroy();
  }
}
