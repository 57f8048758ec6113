/** What the ledger takes: events per second into Postgres, how far it is behind, and how long reports take. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { startPostgres } from '../../infra/servers/postgres.ts';
import type { UsageConsumer } from '../../services/ledger/recording/consume.ts';
import { consumeUsage } from '../../services/ledger/recording/consume.ts';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { recentAttempts } from '../../services/ledger/usage/list-attempts.ts';
import { createLedgerMetrics } from '../../services/ledger/metrics.ts';
import { migrate } from '../../services/ledger/database/migrate.ts';
import { recordEvents } from '../../services/ledger/recording/record.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { openUsageConsumer } from '../../services/ledger/recording/stream.ts';
import { countAttempts } from '../../services/ledger/testing/count-attempts.ts';
import { generateAttempts } from '../../services/ledger/testing/generate-attempts.ts';
import type { UsageQuery } from '../../services/ledger/core/usage-query.ts';
import { reportUsage } from '../../services/ledger/usage/usage-report.ts';
import { Bus } from '../../shared/bus.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import { usageSubject } from '../../shared/subjects.ts';
import { startTestNats } from '../support/servers.ts';
import { makeEvents } from './ledger-events.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The reports look back from here; the events are of the thirty days before. */
const NOW = Date.UTC(2026, 10, 21, 12, 34, 56);
/** As the ledger takes them at once when there is much. */
const BATCH = 2_000;
const MESSAGE = 500;
const LAG_EVENTS_PER_SECOND = 2_000;
const LAG_MESSAGES_PER_SECOND = 50;
const REPORT_TIMES = 20;
/** That takes the writer minutes; more are made by SQL, and say nothing of the writer. */
const MOST_WRITTEN = 2_000_000;
/** Both make rows as fast as two cores let them. */
const GENERATORS = 2;

/** Both write to disk before they acknowledge (`fsync`, `synchronous_commit`), as Postgres does by default. */
const POSTGRES = {
  embedded: {},
  server: { shared_buffers: '1GB', max_wal_size: '8GB', wal_compression: 'on' },
} as const satisfies Record<string, Record<string, string>>;
export type LedgerPostgres = keyof typeof POSTGRES;

export interface LedgerThroughput {
  readonly postgres: LedgerPostgres;
  readonly what: string;
  readonly events: number;
  readonly perSecond: number;
}

export interface LedgerLag {
  readonly perSecond: number;
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LedgerReport {
  readonly what: string;
  readonly rows: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

export interface LedgerResult {
  readonly postgres: string;
  readonly events: number;
  readonly throughput: readonly LedgerThroughput[];
  readonly lag: LedgerLag;
  readonly reports: readonly LedgerReport[];
}

export interface LedgerOptions {
  /** In the database that is reported on. */
  readonly events: number;
  readonly isQuick: boolean;
  readonly tell: (progress: string) => void;
}

const log = createLog('silent', 'bench');

export async function measureLedger({ events, isQuick, tell }: LedgerOptions): Promise<LedgerResult> {
  const throughput: LedgerThroughput[] = [];
  const drained = isQuick ? 20_000 : 100_000;
  for (const postgres of ['embedded', 'server'] as const)
    await withPostgres(postgres, async (db) => {
      tell(`ledger: ${drained} events from JetStream into Postgres (${postgres})`);
      throughput.push({ postgres, what: 'from JetStream', events: drained, perSecond: await drain(db, drained) });
    });
  tell(`ledger: its lag at ${LAG_EVENTS_PER_SECOND} events/s`);
  const lag = await withPostgres('embedded', (db) => measureLag(db, isQuick ? 5 : 20));
  return withPostgres('embedded', async (db, version) => {
    if (events > MOST_WRITTEN) {
      await generate(db, events, tell);
    } else {
      tell(`ledger: recording ${events} events of thirty days`);
      const perSecond = await fill(db, events, tell);
      throughput.push({ postgres: 'embedded', what: 'thirty days, one batch after the other', events, perSecond });
    }
    const reports: LedgerReport[] = [];
    for (const [what, report] of Object.entries(REPORTS)) {
      const measured = await timed(() => report(db));
      tell(`ledger: ${what}: ${measured.p95Ms.toFixed(0)} ms`);
      reports.push({ what, ...measured });
    }
    return { postgres: version, events, throughput, lag, reports };
  });
}

const month = { sinceEpochMs: NOW - 30 * DAY_MS } as const;
const report =
  (query: UsageQuery) =>
  async (db: Database): Promise<number> =>
    (await reportUsage(db, query)).length;

/** What people ask. The times are odd, as those of `--since` are. */
const REPORTS: Readonly<Record<string, (db: Database) => Promise<number>>> = {
  'a month, one sum': report({ ...month, groupBy: [] }),
  'a month by team': report({ ...month, groupBy: ['team'] }),
  'a month by team and day': report({ ...month, groupBy: ['day', 'team'], limit: 10_000 }),
  'a month by key and model': report({ ...month, groupBy: ['key', 'model'] }),
  'a month, the ten dearest users': report({ ...month, groupBy: ['user'], top: 10 }),
  'a month by project (a tag)': report({ ...month, groupBy: ['tag:project'] }),
  'a month of one team, by user': report({ ...month, groupBy: ['user'], team: 'team-7', limit: 10_000 }),
  'a week by hour': report({ sinceEpochMs: NOW - 7 * DAY_MS, groupBy: ['hour'] }),
  'a day by key and model': report({ sinceEpochMs: NOW - DAY_MS, groupBy: ['key', 'model'] }),
  'a week of errors by deployment': report({ sinceEpochMs: NOW - 7 * DAY_MS, groupBy: ['deployment', 'error'] }),
  'the last 20 attempts of a key': async (db) => (await recentAttempts(db, 20, { key: 'key_3' })).length,
};

async function withPostgres<T>(kind: LedgerPostgres, work: (db: Database, version: string) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const server = await startPostgres({ dataDir, log, settings: POSTGRES[kind] });
  try {
    await migrate(server.url, log);
    const db = openDatabase({ url: server.url, log, statementTimeoutMs: 60_000 });
    try {
      return await work(db, server.version);
    } finally {
      await db.destroy();
    }
  } finally {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** @returns events per second, with everything in the stream before the ledger starts */
async function drain(db: Database, count: number): Promise<number> {
  const events = [...makeEvents(count, { fromMs: NOW - HOUR_MS, toMs: NOW })];
  return withStream(async (bus) => {
    for (let i = 0; i < count; i += MESSAGE) await publish(bus, events.slice(i, i + MESSAGE));
    let recorded = 0;
    const startedAt = performance.now();
    const done = Promise.withResolvers<number>();
    const consumer = consume(bus, db, (fresh) => {
      recorded += fresh.length;
      if (recorded === count) done.resolve((count * 1_000) / (performance.now() - startedAt));
    });
    const perSecond = await done.promise;
    await consumer.stop();
    return perSecond;
  });
}

/** From the moment an event leaves its worker to the moment its transaction is about to commit. */
async function measureLag(db: Database, seconds: number): Promise<LedgerLag> {
  const count = LAG_EVENTS_PER_SECOND * seconds;
  const perMessage = LAG_EVENTS_PER_SECOND / LAG_MESSAGES_PER_SECOND;
  const lags: number[] = [];
  await withStream(async (bus) => {
    const sentAt = new Map<string, number>();
    const consumer = consume(bus, db, (fresh) => {
      const now = performance.now();
      for (const { attemptId } of fresh) lags.push(now - (sentAt.get(attemptId) ?? now));
    });
    const events = [...makeEvents(count, { fromMs: NOW - 2 * HOUR_MS, toMs: NOW - HOUR_MS })];
    const startedAt = performance.now();
    for (let i = 0; i < count; i += perMessage) {
      const dueAt = startedAt + (i / LAG_EVENTS_PER_SECOND) * 1_000;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueAt - performance.now())));
      const some = events.slice(i, i + perMessage);
      for (const { attemptId } of some) sentAt.set(attemptId, performance.now());
      await publish(bus, some);
    }
    while (lags.length < count) await new Promise((resolve) => setTimeout(resolve, 20));
    await consumer.stop();
  });
  return { perSecond: LAG_EVENTS_PER_SECOND, events: count, p50Ms: quantile(lags, 0.5), p99Ms: quantile(lags, 0.99) };
}

async function fill(db: Database, count: number, tell: (progress: string) => void): Promise<number> {
  const startedAt = performance.now();
  let batch: UsageRecorded[] = [];
  let recorded = 0;
  for (const event of makeEvents(count, { fromMs: NOW - 30 * DAY_MS, toMs: NOW })) {
    batch.push(event);
    if (batch.length < BATCH) continue;
    recorded += (await recordEvents(db, batch)).recorded;
    batch = [];
    if (recorded % 500_000 === 0) tell(`ledger: ${recorded} recorded`);
  }
  await recordEvents(db, batch);
  return (count * 1_000) / (performance.now() - startedAt);
}

/** As `fill`, without the writer: the same company, and the same sums. */
async function generate(db: Database, count: number, tell: (progress: string) => void): Promise<void> {
  tell(`ledger: generating ${count} events of thirty days`);
  const fromMs = NOW - 30 * DAY_MS;
  await generateAttempts(db, count, { fromMs, toMs: NOW, connections: GENERATORS });
  tell('ledger: counting them');
  const firstDay = Math.floor(fromMs / DAY_MS);
  const days = Math.floor(NOW / DAY_MS) + 1 - firstDay;
  const dayMs = (part: number): number => (firstDay + Math.floor((days * part) / GENERATORS)) * DAY_MS;
  const parts = Array.from({ length: GENERATORS }, (_, part) => ({ fromMs: dayMs(part), toMs: dayMs(part + 1) }));
  await Promise.all(parts.map((span) => countAttempts(db, span)));
}

async function timed(work: () => Promise<number>): Promise<Omit<LedgerReport, 'what'>> {
  const times: number[] = [];
  let rows = await work();
  for (let i = 0; i < REPORT_TIMES; i++) {
    const startedAt = performance.now();
    rows = await work();
    times.push(performance.now() - startedAt);
  }
  return { rows, p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) };
}

async function withStream<T>(work: (bus: Bus) => Promise<T>): Promise<T> {
  const nats = await startTestNats('local');
  const bus = await Bus.connect({ url: nats.url, name: 'bench', log });
  try {
    await openUsageConsumer(bus);
    return await work(bus);
  } finally {
    await bus.close();
    await nats.stop();
  }
}

async function publish(bus: Bus, events: readonly UsageRecorded[]): Promise<void> {
  await bus.jetStream().publish(usageSubject('bench'), Buffer.from(JSON.stringify(events)));
}

/** `onFresh` is told before each commit, where balances are moved otherwise. */
function consume(bus: Bus, db: Database, onFresh: (fresh: readonly UsageRecorded[]) => void): UsageConsumer {
  const metrics = createLedgerMetrics(new Registry(), () => 0);
  const moveBalances = (_: unknown, fresh: readonly UsageRecorded[]): Promise<void> => {
    onFresh(fresh);
    return Promise.resolve();
  };
  return consumeUsage({ bus, db, clock: systemClock, log, random: Math.random, metrics, moveBalances });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
