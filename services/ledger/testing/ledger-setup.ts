import { Registry } from 'prom-client';
import { Bus } from '../../../shared/bus.ts';
import { systemClock } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import type { TestDatabase } from '../../../test/support/fresh.ts';
import { freshDatabase, freshNats } from '../../../test/support/fresh.ts';
import type { TestNats } from '../../../test/support/servers.ts';
import type { ConsumeDeps } from '../recording/consume.ts';
import { openDatabase } from '../database/database.ts';
import { createLedgerMetrics } from '../metrics.ts';
import { migrate } from '../database/migrate.ts';
import type { Database } from '../database/schema.ts';

export interface LedgerSetup {
  readonly nats: TestNats;
  readonly database: TestDatabase;
  readonly db: Database;
  /** Publishes and looks on. */
  readonly bus: Bus;
  readonly connect: () => Promise<Bus>;
  stop(): Promise<void>;
}

/** An empty NATS and a migrated database. */
export async function setUpLedger(log: Log): Promise<LedgerSetup> {
  const [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  await migrate(database.url, log);
  const db = openDatabase({ url: database.url, log });
  const buses: Bus[] = [];
  const connect = async (): Promise<Bus> => {
    const bus = await Bus.connect({ url: nats.url, name: 'test', log });
    buses.push(bus);
    return bus;
  };
  return {
    nats,
    database,
    db,
    bus: await connect(),
    connect,
    stop: async () => {
      for (const bus of buses) await bus.close();
      await db.destroy();
      await database.drop();
      await nats.stop();
    },
  };
}

/** Redelivery within a test's patience. */
export const ACK_WAIT_MS = 1_000;

export function consumeDeps(bus: Bus, db: Database, log: Log): ConsumeDeps {
  const metrics = createLedgerMetrics(new Registry(), () => 0);
  return { bus, db, clock: systemClock, log, random: Math.random, metrics, stream: { ackWaitMs: ACK_WAIT_MS } };
}
