import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import type { KeySecret } from '../../services/ledger/principals/key-secret.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { readRunningGateway } from '../running-gateway.ts';
import type { RunningGateway } from '../running-gateway.ts';
import { postgresUnreachable } from '../unreachable.ts';
import { CommandError } from './failure.ts';

export interface OpenLedger {
  readonly db: Database;
  /** The secret that the keys of this database are kept under. @throws Error that says what to set when it is another one */
  readonly openSecret: () => Promise<KeySecret>;
  /** The gateway that runs on this data folder, if one does. */
  readonly gateway: RunningGateway | undefined;
}

export interface OpenLedgerOptions {
  /** Make an empty database where there is none; else that is an error. */
  readonly mayCreate?: boolean;
}

/** A report over a long time may take a while; whoever waits for it has Ctrl-C. */
const STATEMENT_TIMEOUT_MS = 10 * 60_000;

/**
 * Works on the ledger's database, its tables brought up to date: that of the configuration, else that of the gateway
 * running on this data folder, else the folder's own Postgres, started for as long as it takes.
 */
export async function withLedger<T>(
  config: Config,
  { mayCreate = false }: OpenLedgerOptions,
  work: (ledger: OpenLedger) => Promise<T>,
): Promise<T> {
  const gateway = await readRunningGateway(config.dataDir);
  const url = config.database.url ?? gateway?.databaseUrl;
  const withSecret = (db: Database): Promise<T> => {
    const source = { configured: config.auth.secret, dataDir: config.dataDir };
    const openSecret = async (): Promise<KeySecret> => {
      const { openKeySecret } = await import('../../services/ledger/principals/key-secret.ts');
      return openKeySecret(db, source);
    };
    return work({ db, gateway, openSecret });
  };
  if (url !== undefined) return withDatabase(url, withSecret);
  if (!mayCreate && !existsSync(join(config.dataDir, 'postgres'))) {
    throw new CommandError(
      `there is no database in ${config.dataDir} yet: no gateway has run there.\n` +
        'Start one with `sluice start`, or say where it is: --data-dir <folder>, or DATABASE_URL.',
    );
  }
  const { startPostgres } = await import('../servers/postgres.ts');
  const server = await startPostgres({ dataDir: config.dataDir, log: silent() });
  try {
    return await withDatabase(server.url, withSecret);
  } finally {
    await server.stop();
  }
}

async function withDatabase<T>(url: string, work: (db: Database) => Promise<T>): Promise<T> {
  const { isAway, openDatabase } = await import('../../services/ledger/database/database.ts');
  const { migrate } = await import('../../services/ledger/database/migrate.ts');
  const log = silent();
  try {
    await migrate(url, log);
  } catch (cause) {
    throw isAway(cause) ? postgresUnreachable(url, cause) : cause;
  }
  const db = openDatabase({ url, log, statementTimeoutMs: STATEMENT_TIMEOUT_MS });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

/** What these commands have to say they print themselves. */
function silent(): ReturnType<typeof createLog> {
  return createLog('silent', 'cli');
}
