import { createLog } from '../../../shared/log.ts';
import { freshDatabase } from '../../../test/support/fresh.ts';
import { openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import type { Database } from '../database/schema.ts';

export interface FreshLedgerDatabase {
  readonly db: Database;
  readonly url: string;
  /** Closes its connections, and drops it. */
  readonly close: () => Promise<void>;
}

/** A ledger's database of its own, migrated and empty. */
export async function freshLedgerDatabase(): Promise<FreshLedgerDatabase> {
  const log = createLog('silent', 'test');
  const database = await freshDatabase();
  const { url } = database;
  await migrate(url, log);
  const db = openDatabase({ url, log });
  return {
    ...{ db, url },
    close: async () => {
      await db.destroy();
      await database.drop();
    },
  };
}
