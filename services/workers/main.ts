import type { Registry } from 'prom-client';
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
import { poolsOf } from '../../shared/pools.ts';
import type { RedisConnection } from '../../shared/redis.ts';
import { StallWatch } from '../../shared/stall-watch.ts';
import { beatSubject, beatWildcard, wantSubject, workerSubject } from '../../shared/subjects.ts';
import type { ForcedHook } from './admit.ts';
import { Admissions, disabled } from './admit.ts';
import { Announcer } from './announce.ts';
import { startHealthChecks } from './check-health.ts';
import { Intake } from './consume.ts';
import type { BreakerState } from './core/breaker.ts';
import { openai } from './dialects/openai.ts';
import { Guards } from './guards.ts';
import { WorkerMetrics } from './metrics.ts';
import { OpenNotes } from './open-notes.ts';
import { WorkerPool } from './pool.ts';
import { SharedLimits } from './shared-limits.ts';
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
  /** What operators have forced on deployments. undefined: nothing ever is. */
  readonly forced?: ForcedHook | undefined;
  /** The pools of this process. `baseUrl` is set in each. */
  readonly providers: readonly ProviderConfig[];
  /** Where limits are shared with all other workers; closed when this worker stops. undefined: they hold for it alone. */
  readonly redis?: RedisConnection | undefined;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export interface Workers {
  readonly id: string;
  /** Why no request can be placed here yet; null when one can. */
  notReady(): string | null;
  /** Takes no new tasks, lets attempts finish (up to `drainLimitMs`, default 30 s), and hands over every usage event. */
  stop(drainLimitMs?: number): Promise<void>;
}

/** Starts one worker process' pools. Only here are the providers' credentials in use. */
export function startWorkers(deps: WorkersDeps): Workers {
  const { bus, journalBus, clock, log, catalog, registry, providers, forced, random = Math.random } = deps;
  const id = makeInstanceId('wrk');
  const journal = new UsageJournal(journalBus, id, clock, log);
  const notes = new OpenNotes({ bus: journalBus, workerId: id, log });
  let isDraining = false;
  let connection = 1;
  let firstRouterAt: Millis | undefined;
  const mayIssue = (): boolean => !isDraining && !journal.isFull && bus.isConnected;
  const upstreams = new Map<ProviderConfig, Upstream>();
  const pools = new Map<string, WorkerPool>();
  for (const provider of providers) {
    const upstream = new Upstream(provider);
    upstreams.set(provider, upstream);
    const backend = { dialect: openai, upstream, timeouts: provider.timeouts, secret: provider.apiKey };
    for (const pool of poolsOf(provider))
      pools.set(pool.name, new WorkerPool(pool, backend, { bus, clock, workerId: id, mayIssue }));
  }
  const metrics = new WorkerMetrics(registry, { clock, pools, guards: () => guards, journal });
  const announcer = new Announcer(clock, () => publishBeat());
  const onTransition = (deployment: string, to: BreakerState): void => {
    metrics.breakerChanged(deployment, to);
    log.info({ deployment, breaker: to }, 'a circuit breaker changed');
  };
  const guards = new Guards({ catalog, providers, random, onChange: () => announcer.changed(), onTransition });
  const shared = deps.redis === undefined ? undefined : new SharedLimits(deps.redis, log);
  const onDegraded = (): void => metrics.decidedWithoutRedis();
  const admissions = new Admissions({ clock, guards, shared, forced, onDegraded });
  const onDeclined = metrics.declined.bind(metrics);
  const intake = new Intake({ bus, clock, log, journal, notes, catalog, workerId: id, pools, admissions, onDeclined });
  forced?.onChange((deployment) => {
    if (forced.stateOf(deployment) === 'disabled') intake.endDeployment(deployment, disabled());
  });
  const stopChecks = [...upstreams].flatMap(([{ name, healthCheck }, upstream]) => {
    if (healthCheck === undefined) return [];
    const onChecked = (failed: string | null): void => guards.checked(name, failed, clock.now());
    return [startHealthChecks({ upstream, config: healthCheck, random, onChecked })];
  });

  const stall = new StallWatch(SWEEP_EVERY_MS, clock.now());
  /** Comes before anybody is called silent. */
  const forgive = (): void => {
    const stalledMs = stall.stalledMs(clock.now());
    if (stalledMs === 0) return;
    intake.forgive(stalledMs);
    for (const pool of pools.values()) pool.forgive(stalledMs);
  };
  const publishBeat = (): void => {
    const all = [...pools.values()].map(({ name, capacity, inFlight }) => ({ pool: name, capacity, inFlight }));
    const routers = [...new Set([...pools.values()].flatMap((pool) => [...pool.routers]))];
    const deployments = guards.reports(clock.now(), routers);
    const message: WorkerBeat = { v: 1, worker: id, isDraining, connection, pools: all, deployments };
    bus.publish(beatSubject('worker', id), message);
  };
  const beat = (): void => {
    forgive();
    publishBeat();
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
      for (const stopChecking of stopChecks) stopChecking();
      shared?.stop();
      announcer.stop();
      await bus.flush();
      for (const subscription of subscriptions) subscription.unsubscribe();
      if (!(await journal.drain(JOURNAL_DRAIN_MS)))
        log.error({ backlog: journal.backlog }, 'usage events were not taken by the broker in time');
      else await notes.stop();
      await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    },
  };
}
