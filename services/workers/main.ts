import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';
import type { Bus } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import type { Catalog } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ProviderConfig } from '../../shared/config.ts';
import { makeInstanceId } from '../../shared/ids.ts';
import { UsageJournal } from '../../shared/journal.ts';
import type { Log } from '../../shared/log.ts';
import type { WorkerBeat } from '../../shared/messages/beat.ts';
import { BEAT_EVERY_MS, RouterBeat } from '../../shared/messages/beat.ts';
import { FrameType, PoisonedMessage } from '../../shared/messages/frame.ts';
import { SlotsWanted } from '../../shared/messages/slots.ts';
import { StallWatch } from '../../shared/stall-watch.ts';
import { beatSubject, beatWildcard, wantSubject, workerSubject } from '../../shared/subjects.ts';
import { Intake } from './consume.ts';
import { openai } from './dialects/openai.ts';
import { WorkerPool } from './pool.ts';
import { Upstream } from './upstream.ts';

/** Time limits of attempts are checked this often: their resolution. */
const SWEEP_EVERY_MS = 25;
/** Past this, a stopping worker ends the attempts that are still under way. */
const DRAIN_LIMIT_MS = 30_000;
const JOURNAL_DRAIN_MS = 10_000;

export interface WorkersDeps {
  readonly bus: Bus;
  /** Usage events have a connection of their own, so that they never stand before tokens. */
  readonly journalBus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly catalog: Catalog;
  readonly registry: Registry;
  /** The pools of this process. `baseUrl` is set in each. */
  readonly providers: readonly ProviderConfig[];
}

export interface Workers {
  readonly id: string;
  /** Why no request can be placed here yet; null when one can. */
  notReady(): string | null;
  /** Takes no new tasks, lets attempts finish (up to `drainLimitMs`, default 30 s), and hands over every usage event. */
  stop(drainLimitMs?: number): Promise<void>;
}

/** Starts one worker process' pools. Only here are the providers' credentials in use. */
export function startWorkers({ bus, journalBus, clock, log, catalog, registry, providers }: WorkersDeps): Workers {
  const id = makeInstanceId('wrk');
  const journal = new UsageJournal(journalBus, id, clock, log);
  let isDraining = false;
  let connection = 1;
  let firstRouterAt: Millis | undefined;
  const mayIssue = (): boolean => !isDraining && !journal.isFull && bus.isConnected;
  const upstreams: Upstream[] = [];
  const pools = new Map<string, WorkerPool>();
  for (const provider of providers) {
    const upstream = new Upstream(provider);
    upstreams.push(upstream);
    const backend = { dialect: openai, upstream, timeouts: provider.timeouts, secret: provider.apiKey };
    pools.set(provider.name, new WorkerPool(provider, backend, { bus, clock, workerId: id, mayIssue }));
  }
  const intake = new Intake({ bus, clock, log, journal, catalog, workerId: id, pools });
  reportGauges(registry, pools, journal);

  const stall = new StallWatch(SWEEP_EVERY_MS, clock.now());
  /** Comes before anybody is called silent. */
  const forgive = (): void => {
    const stalledMs = stall.stalledMs(clock.now());
    if (stalledMs === 0) return;
    intake.forgive(stalledMs);
    for (const pool of pools.values()) pool.forgive(stalledMs);
  };
  const beat = (): void => {
    forgive();
    const all = [...pools.values()].map(({ name, capacity, inFlight }) => ({ pool: name, capacity, inFlight }));
    const message: WorkerBeat = { v: 1, worker: id, isDraining, connection, pools: all };
    bus.publish(beatSubject('worker', id), message);
    for (const pool of pools.values()) pool.refresh(clock.now());
  };
  const sweep = (): void => {
    forgive();
    intake.sweep(clock.now());
  };
  const onWant = (type: number, payload: Buffer): void => {
    if (type !== FrameType.want) throw new PoisonedMessage(`not a want: ${type}`);
    const { pool, router, waiting } = decode(SlotsWanted, payload);
    pools.get(pool)?.wanted(router, waiting);
  };
  const subscriptions = [
    bus.onFrames(workerSubject(id), (type, stream, sequence, payload, reply) =>
      intake.onFrame(type, stream, sequence, payload, reply),
    ),
    bus.onMessage(beatWildcard('router'), RouterBeat, (message) => {
      firstRouterAt ??= clock.now();
      for (const pool of pools.values()) pool.onRouterBeat(message);
    }),
    ...[...pools.keys()].map((pool) =>
      bus.onFrames(wantSubject(pool), (type, _stream, _sequence, payload) => onWant(type, payload)),
    ),
  ];
  bus.onConnection((isConnected) => {
    // Frames were lost with the connection, and more would be; the ingresses learn it from the beat.
    if (!isConnected) return intake.abortAll('broker_unavailable');
    connection++;
    beat();
  });
  const timers = [setInterval(beat, BEAT_EVERY_MS), setInterval(sweep, SWEEP_EVERY_MS)];
  beat();

  return {
    id,
    notReady: () => {
      if (firstRouterAt === undefined) return 'no router is heard of';
      // By then the others have been heard of too, and know our slots.
      return clock.now() - firstRouterAt < 2 * BEAT_EVERY_MS ? 'not every router may know its slots' : null;
    },
    stop: async (drainLimitMs = DRAIN_LIMIT_MS) => {
      isDraining = true;
      beat();
      const limit = setTimeout(() => intake.abortAll('shutting_down'), drainLimitMs);
      while (intake.live > 0) await intake.idle();
      intake.close();
      clearTimeout(limit);
      for (const timer of timers) clearInterval(timer);
      await bus.flush();
      for (const subscription of subscriptions) subscription.unsubscribe();
      if (!(await journal.drain(JOURNAL_DRAIN_MS)))
        log.error({ backlog: journal.backlog }, 'usage events were not taken by the broker in time');
      await Promise.all(upstreams.map((upstream) => upstream.close()));
    },
  };
}

function reportGauges(registry: Registry, pools: ReadonlyMap<string, WorkerPool>, journal: UsageJournal): void {
  new Gauge({
    name: 'sluice_worker_in_flight',
    help: 'Attempts under way, by pool.',
    labelNames: ['pool'],
    registers: [registry],
    collect() {
      for (const pool of pools.values()) this.set({ pool: pool.name }, pool.inFlight);
    },
  });
  new Gauge({
    name: 'sluice_worker_usage_backlog',
    help: 'Usage events that the broker has not acknowledged.',
    registers: [registry],
    collect() {
      this.set(journal.backlog);
    },
  });
}
