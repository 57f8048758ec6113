import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Clock } from '../../../shared/clock.ts';
import type { RetentionConfig } from '../../../shared/config.ts';
import type { Log } from '../../../shared/log.ts';
import { openDatabase, reasonOf } from './database.ts';
import { makePartitions } from './partitions.ts';
import { applyRetention } from './retention.ts';
import type { Database } from './schema.ts';

/** Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_004;
const HOUR_MS = 3_600_000;
const EVERY_MS = 24 * HOUR_MS;
const AGAIN_AFTER_MS = HOUR_MS;
/** Of one statement: dropping a month, looking for groups that nobody uses. */
const STATEMENT_TIMEOUT_MS = 10 * 60_000;

export interface HousekeepingDeps {
  readonly databaseUrl: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly retention: RetentionConfig;
}

export interface Housekeeping {
  /** Waits for the statement under way. */
  stop(): Promise<void>;
}

/** Each day, at one ledger of all: makes the account's next months, and drops what is older than it has to be. */
export function startHousekeeping(deps: HousekeepingDeps): Housekeeping {
  const stopping = new AbortController();
  const run = keepHouse(deps, stopping.signal);
  return {
    stop: () => {
      stopping.abort();
      return run;
    },
  };
}

async function keepHouse(
  { databaseUrl, clock, log, retention }: HousekeepingDeps,
  stopping: AbortSignal,
): Promise<void> {
  while (!stopping.aborted) {
    let nextMs = EVERY_MS;
    const db = openDatabase({ url: databaseUrl, log, statementTimeoutMs: STATEMENT_TIMEOUT_MS });
    try {
      await cleanOnce(db, retention, new Date(clock.epochMs()));
    } catch (failure) {
      log.warn({ reason: reasonOf(failure) }, 'housekeeping did not end; it is tried again in an hour');
      nextMs = AGAIN_AFTER_MS;
    } finally {
      await db.destroy();
    }
    // Cut short by `stop`.
    await sleep(nextMs, undefined, { signal: stopping, ref: false }).catch(() => undefined);
  }
}

/** Does it unless somebody else is at it. @throws what Postgres said; done again it goes on */
export async function cleanOnce(db: Database, retention: RetentionConfig, now: Date): Promise<void> {
  await db.connection().execute(async (holder) => {
    // Held by this connection; goes with it if this process dies.
    const { rows } = await sql<{ taken: boolean }>`select pg_try_advisory_lock(${LOCK}) as taken`.execute(holder);
    if (rows[0]?.taken !== true) return;
    try {
      await makePartitions(db, now);
      await applyRetention(db, retention, now);
    } finally {
      await sql`select pg_advisory_unlock(${LOCK})`.execute(holder);
    }
  });
}
