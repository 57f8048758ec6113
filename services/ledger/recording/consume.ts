import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { JsMsg } from 'nats';
import type { Bus } from '../../../shared/bus.ts';
import type { Clock } from '../../../shared/clock.ts';
import type { Log } from '../../../shared/log.ts';
import { backoffMs } from '../core/backoff.ts';
import type { ReadEvents } from '../core/read-events.ts';
import { readEvents } from '../core/read-events.ts';
import { reasonOf } from '../database/database.ts';
import type { Batch } from './intake.ts';
import { Intake } from './intake.ts';
import type { LedgerMetrics } from '../metrics.ts';
import type { MoveBalances } from './record.ts';
import { putAside, recordEvents } from './record.ts';
import type { Database } from '../database/schema.ts';
import { openUsageConsumer } from './stream.ts';
import type { UsageStreamOptions } from './stream.ts';

/** Postgres and NATS restart within seconds; a longer outage is asked about every 5 s. */
const BACKOFF = { firstMs: 100, longestMs: 5_000 };
/** Of the failures in a row, the first is logged and then each one that is a multiple of this. */
const LOG_EACH = 10;

export interface ConsumeDeps {
  readonly bus: Bus;
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly metrics: LedgerMetrics;
  readonly stream?: UsageStreamOptions | undefined;
  /** By default as budgets/balances.ts does it. */
  readonly moveBalances?: MoveBalances | undefined;
  /** Called between the commit of a batch and its acknowledgement. For tests of what happens when nothing follows. */
  readonly onCommitted?: () => Promise<void>;
}

export interface UsageConsumer {
  /** Pulls no more, records and acknowledges what was received, and ends. */
  stop(): Promise<void>;
}

/**
 * Usage events → Postgres, each exactly once: delivered at least once (a message is acknowledged after its commit),
 * recorded at most once (by attempt id). Any number of ledgers share the work. While Postgres is away nothing is pulled:
 * what was pulled is given back, for another ledger or for later.
 */
export function consumeUsage(deps: ConsumeDeps): UsageConsumer {
  const stopping = new AbortController();
  const run = keepConsuming(deps, stopping.signal);
  return {
    stop: () => {
      stopping.abort();
      return run;
    },
  };
}

async function keepConsuming(deps: ConsumeDeps, stopping: AbortSignal): Promise<void> {
  const { log, random, bus } = deps;
  let failures = 0;
  while (!stopping.aborted && !bus.isClosed) {
    try {
      await consumeUntilFailure(deps, stopping, () => (failures = 0));
    } catch (failure) {
      failures++;
      if (failures % LOG_EACH === 1)
        log.error({ reason: reasonOf(failure), failures }, 'usage events are not recorded');
      // Cut short by `stop`.
      await sleep(backoffMs(failures, random, BACKOFF), undefined, { signal: stopping }).catch(() => undefined);
    }
  }
}

/** Returns when stopped. @throws what failed, with every message given back */
async function consumeUntilFailure(deps: ConsumeDeps, stopping: AbortSignal, onSuccess: () => void): Promise<void> {
  const { bus, db, clock } = deps;
  // Asked first: to pull only to give back would be a loop through the server.
  await sql`select 1`.execute(db);
  const consumer = await openUsageConsumer(bus, deps.stream);
  const intake = new Intake(consumer, clock);
  const stop = (): void => intake.stop({ isHurried: true });
  stopping.addEventListener('abort', stop);
  if (stopping.aborted) stop();
  let inHand: Batch | undefined;
  try {
    while ((inHand = await intake.take()) !== undefined) {
      await settle(deps, inHand);
      inHand = undefined;
      onSuccess();
    }
  } catch (failure) {
    // Given back when the pulling has ended, or the server would hand them to us again.
    const received = [inHand, ...(await takeRest(intake))];
    for (const batch of received) giveBack(batch ?? []);
    throw failure;
  } finally {
    stopping.removeEventListener('abort', stop);
  }
}

/** Records a batch and acknowledges it. @throws when it could not be recorded */
async function settle(deps: ConsumeDeps, batch: Batch): Promise<void> {
  const { db, clock, log, metrics, onCommitted } = deps;
  const beganAt = clock.now();
  const { events, poisoned: unreadable } = readAll(batch);
  const { recorded, duplicate, poisoned } = await recordEvents(db, events, deps.moveBalances);
  const aside = unreadable.concat(poisoned);
  await putAside(db, aside);
  metrics.recorded.inc(recorded);
  metrics.duplicate.inc(duplicate);
  metrics.poisoned.inc(aside.length);
  for (const { reason, event } of aside.slice(0, LOG_EACH)) {
    log.error({ reason, characters: event.length }, 'usage event put aside');
  }
  await onCommitted?.();
  // Fire and forget: a lost acknowledgement means a redelivery, which changes nothing.
  for (const message of batch) message.ack();
  metrics.batchSeconds.observe((clock.now() - beganAt) / 1_000);
}

function readAll(batch: Batch): ReadEvents {
  const all: ReadEvents = { events: [], poisoned: [] };
  for (const { data } of batch) {
    const { events, poisoned } = readEvents(data);
    for (const event of events) all.events.push(event);
    for (const bad of poisoned) all.poisoned.push(bad);
  }
  return all;
}

async function takeRest(intake: Intake): Promise<Batch[]> {
  intake.stop({ isHurried: false });
  const rest: Batch[] = [];
  try {
    for (let batch = await intake.take(); batch !== undefined; batch = await intake.take()) rest.push(batch);
  } catch {
    // The failure of the pulling: everything received before it was taken.
  }
  return rest;
}

/** For any ledger, at once. */
function giveBack(messages: readonly JsMsg[]): void {
  try {
    for (const message of messages) message.nak();
  } catch {
    // The connection is closed for good: the server gives them to others after `ack_wait`.
  }
}
