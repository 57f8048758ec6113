import { Registry } from 'prom-client';
import type { Bus, Subscription } from '../../shared/bus.ts';
import type { Clock } from '../../shared/clock.ts';
import type { RetentionConfig } from '../../shared/config.ts';
import { makeInstanceId } from '../../shared/ids.ts';
import type { BudgetConfig, WebhookConfig } from '../../shared/config.ts';
import type { Log } from '../../shared/log.ts';
import { startAdmin } from './admin/start-admin.ts';
import { startAnswering } from './answer.ts';
import { Backlog } from './recording/backlog.ts';
import { BalanceMemory } from './budgets/balance-memory.ts';
import { moveBalances } from './budgets/balances.ts';
import { keepConfigured } from './budgets/configured.ts';
import { startBudgetJobs } from './budgets/jobs.ts';
import { LeaseDesk } from './budgets/leases.ts';
import { createBudgetMetrics } from './budgets/metrics.ts';
import { consumeUsage } from './recording/consume.ts';
import { isAway, openDatabase } from './database/database.ts';
import type { KeySecret, SecretSource } from './principals/key-secret.ts';
import { openKeySecret } from './principals/key-secret.ts';
import { createLedgerMetrics } from './metrics.ts';
import { startHousekeeping } from './database/housekeeping.ts';
import { migrate } from './database/migrate.ts';
import { AttemptReaper } from './recording/reap-attempts.ts';
import type { MoveBalances } from './recording/record.ts';
import { recordEvents } from './recording/record.ts';
import { announceRules } from './rules/revision.ts';
import type { Database } from './database/schema.ts';
import { isJetStreamAway, openUsageConsumer } from './recording/stream.ts';
import type { UsageStreamOptions } from './recording/stream.ts';
import { waitUntilUp } from './database/wait-until-up.ts';

/** How long Postgres may take to come up beside us; after a crash it reads its log first. */
const POSTGRES_WITHIN_MS = 60_000;
/** A single server has JetStream from the start, a cluster elects a leader first. */
const JETSTREAM_WITHIN_MS = 30_000;

const KEEP_ALL: RetentionConfig = {
  ...{ attemptsMs: undefined, hourlyRollupsMs: undefined, dailyRollupsMs: undefined, poisonedMs: undefined },
};

export interface LedgerDeps {
  readonly databaseUrl: string;
  /** Where the secret is under which keys are kept. */
  readonly secret: SecretSource;
  /** Connected by the caller, who closes it after `stop()`. Not the connection that carries tokens. */
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the metrics go; by default nowhere. */
  readonly registry?: Registry | undefined;
  readonly random?: () => number;
  readonly stream?: UsageStreamOptions | undefined;
  /** Absent: everything is kept. */
  readonly retention?: RetentionConfig | undefined;
  /** Those of the configuration file; not given: they stay as they are. */
  readonly budgets?: readonly BudgetConfig[] | undefined;
  /** Who is told when budgets reach their thresholds; by default the log alone. */
  readonly webhooks?: readonly WebhookConfig[] | undefined;
}

export interface Ledger {
  readonly id: string;
  /** For keys and reports in the same process; closed by `stop`. */
  readonly db: Database;
  /** For those who make keys in the same process. */
  readonly secret: KeySecret;
  /** Records and acknowledges the events in hand, then ends. Waits no longer than one statement may take (15 s). */
  stop(): Promise<void>;
}

/**
 * Starts a ledger; as many as wanted may share one database and one stream.
 * @throws what Postgres or JetStream said when they do not come up in time, or refuse what we need; Error that says what to
 * set where the keys are kept under another secret
 */
export async function startLedger(deps: LedgerDeps): Promise<Ledger> {
  const { databaseUrl, bus, clock, log, registry = new Registry(), random = Math.random, stream, webhooks = [] } = deps;
  const id = makeInstanceId('ldg');
  const waiting = { clock, log, random };
  await waitUntilUp({ ...waiting, what: 'postgres', withinMs: POSTGRES_WITHIN_MS, isAway }, () =>
    migrate(databaseUrl, log),
  );
  const jetStream = { ...waiting, what: 'jetstream', withinMs: JETSTREAM_WITHIN_MS, isAway: isJetStreamAway };
  await waitUntilUp(jetStream, () => openUsageConsumer(bus, stream)).catch((cause: unknown) => {
    if (!isJetStreamAway(cause)) throw cause;
    throw new Error('JetStream does not answer: does nats-server run with -js?', { cause });
  });

  const db = openDatabase({ url: databaseUrl, log });
  const secret = await openKeySecret(db, deps.secret).catch(async (failure: unknown) => {
    await db.destroy();
    throw failure;
  });
  try {
    if (deps.budgets !== undefined) await keepConfigured(db, deps.budgets);
  } catch (cause) {
    await db.destroy();
    throw cause;
  }
  const backlog = new Backlog(bus, clock);
  const metrics = createLedgerMetrics(registry, () => backlog.messages);
  const budgetMetrics = createBudgetMetrics(registry);
  const onExcess = (excess: bigint): void => budgetMetrics.excessNanoUsd.inc(Number(excess));
  const memory = new BalanceMemory();
  const move: MoveBalances = (transaction, fresh) => moveBalances(transaction, fresh, { onExcess, memory });
  const consumer = consumeUsage({ bus, db, clock, log, random, metrics, stream, moveBalances: move });
  const housekeeping = startHousekeeping({ databaseUrl, clock, log, retention: deps.retention ?? KEEP_ALL });
  const reaper = new AttemptReaper({
    ...{ bus, db, clock, log },
    backlog: () => backlog.messages,
    record: (events) => recordEvents(db, events, move),
    onReaped: (attempts) => metrics.reaped.inc(attempts),
  });
  const leases = new LeaseDesk({ bus, db, clock, metrics: budgetMetrics });
  const openOthers = (): Subscription[] => [leases.open()];
  const answering = startAnswering({ id, bus, db, secret, log, backlog: () => backlog.messages, openOthers });
  const admin = startAdmin({ bus, db, secret, log });
  const recordedForMs = (): number => Math.max(backlog.emptyForMs, reaper.lookedForMs);
  const announce = announceRules.bind(undefined, bus);
  const jobs = startBudgetJobs({ db, clock, log, random, metrics: budgetMetrics, webhooks, announce, recordedForMs });
  log.info({ ledger: id }, 'ledger started');

  return {
    id,
    db,
    secret,
    stop: async () => {
      answering.stop();
      admin.stop();
      backlog.stop();
      await Promise.all([reaper.stop(), consumer.stop(), housekeeping.stop(), jobs.stop(), leases.idle()]);
      await bus.flush();
      await db.destroy();
    },
  };
}
