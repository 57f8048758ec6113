import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import type { Bus } from '../../shared/bus.ts';
import type { Catalog } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { Config } from '../../shared/config.ts';
import { configuredDeployments } from '../../shared/configured-deployments.ts';
import type { ForcedStates } from '../../shared/forced-states.ts';
import { makeInstanceId } from '../../shared/ids.ts';
import { UsageJournal } from '../../shared/journal.ts';
import type { Log } from '../../shared/log.ts';
import { LedgerBeat, RouterBeat, WorkerBeat } from '../../shared/messages/beat.ts';
import { RulesChanged } from '../../shared/messages/rules.ts';
import { poolsOf } from '../../shared/pools.ts';
import type { RedisConnection } from '../../shared/redis.ts';
import { StallWatch } from '../../shared/stall-watch.ts';
import { beatWildcard, RULES_CHANGED } from '../../shared/subjects.ts';
import { Admission } from './admission.ts';
import { Authenticator } from './authenticate.ts';
import { LeaseBook } from './budgets/lease-book.ts';
import { BusLeases } from './budgets/ledger-leases.ts';
import { SlotsAhead } from './core/slots-ahead.ts';
import { TranscriptRoom } from './core/transcript.ts';
import { DeploymentWatch } from './deployment-watch.ts';
import { Exchanges } from './exchanges.ts';
import { Health } from './health.ts';
import { Inbox } from './inbox.ts';
import { IngressMetrics } from './metrics.ts';
import { openLimits } from './limits/limits.ts';
import { RequestLimits } from './limits/request-limits.ts';
import { Outgoing } from './outgoing.ts';
import { RevisionWatch } from './revision-watch.ts';
import { RouteBook } from './route-terms.ts';
import { Routers } from './routers.ts';
import { RuleBook } from './rule-book.ts';
import { buildServer } from './server.ts';
import { Uploads } from './uploads.ts';
import { Witness } from './witness.ts';
import { WorkerWatch } from './worker-watch.ts';

/** Clocks are looked at this often, and workers with attempts pinged: a killed one is known within two of these. */
const SWEEP_EVERY_MS = 50;
const DRAIN_LIMIT_MS = 30_000;
/** A stopping ingress gives the requests and answers that are on their way this long once it is idle. */
const LAST_REQUEST_MS = 250;
const JOURNAL_DRAIN_MS = 10_000;
/** What is kept of streams that another deployment may go on with, all together. */
const TRANSCRIPT_BYTES = 256 * 1024 * 1024;
/** Connections that the system holds until they are accepted: a burst of clients must not be refused. */
const BACKLOG = 4_096;

export interface IngressDeps {
  readonly config: Config;
  readonly bus: Bus;
  /** What this ingress reports in a dead worker's place travels on a connection of its own. */
  readonly journalBus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly forced: Pick<ForcedStates, 'all' | 'force' | 'release'>;
  /** Throws when Redis is away; undefined without Redis. */
  readonly pingRedis?: () => Promise<void>;
  /** Where the limits of scopes are counted for all ingresses together; closed when this one stops. undefined: it counts alone. */
  readonly redis?: RedisConnection | undefined;
}

export interface Ingress {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Takes no new requests, lets those under way finish (up to `drainLimitMs`, default 30 s), and ends. */
  stop(drainLimitMs?: Millis): Promise<void>;
}

/** Starts an ingress and listens. @throws Error with `code: 'EADDRINUSE'` and the like when it cannot */
export async function startIngress(deps: IngressDeps): Promise<Ingress> {
  const { config, bus, journalBus, clock, log, catalog, registry, forced } = deps;
  const id = makeInstanceId('ing');
  const onPeerGone = (peer: string): void => {
    routers.remove(peer);
    workers.remove(peer);
  };
  const uploads = new Uploads(bus);
  const outgoing = new Outgoing(bus, id, uploads);
  const ahead = new SlotsAhead();
  const inbox = new Inbox({
    ...{ bus, ingressId: id, outgoing, onPeerGone },
    onAheadRecalled: ({ router, pool }) => outgoing.giveBack(ahead.recall(router, pool)),
  });
  const routers = new Routers(clock, (router) => {
    ahead.removeRouter(router);
    exchanges.onPeerGone(router);
  });
  const workers = new WorkerWatch({
    clock,
    ping: (worker) => outgoing.ping(worker),
    onGone: (worker) => {
      ahead.removeWorker(worker);
      exchanges.onPeerGone(worker);
      witness.onWorkerGone(worker);
    },
  });
  const journal = new UsageJournal(journalBus, id, clock, log);
  const witness = new Witness({ journal, catalog, clock, ingressId: id });
  const metrics: IngressMetrics = new IngressMetrics(registry, () => exchanges.size);
  const exchanges: Exchanges = new Exchanges({
    ...{ catalog, clock, log, inbox, outgoing, ahead, routers, workers, uploads, witness, metrics },
    routes: new RouteBook(catalog),
    transcripts: new TranscriptRoom(TRANSCRIPT_BYTES),
    random: Math.random,
    keepAliveMs: config.server.keepAliveMs,
  });
  const { trustedProxies } = config.server;
  const authenticator = new Authenticator(config.auth, bus, clock, { trustedProxies });
  const rules = new RuleBook({ bus, clock, configured: config.limits });
  const { limits, stop: stopLimits } = openLimits({
    ...{ redis: deps.redis, log },
    onDegraded: () => metrics.limitsWithoutRedis.inc(),
  });
  const revisions = new RevisionWatch(log, ({ keys, scopes, standings }) => {
    authenticator.forget(keys);
    rules.forget(scopes);
    rules.onStandings(standings);
    rules.warm();
  });
  const pools = config.providers.flatMap(poolsOf).map(({ name }) => name);
  const health = new Health({ bus, clock, routers, workers, pools, pingRedis: deps.pingRedis });
  const watch = new DeploymentWatch({ clock, forced, configured: configuredDeployments(config) });
  const leases = new BusLeases(bus, id);
  const book = new LeaseBook({ ledger: leases, clock, log });
  const admission = new Admission({
    ...{ catalog, clock, book },
    rules,
    limits: new RequestLimits(limits, clock),
    isLedgerAway: () => !health.hasLedger,
    onUnchecked: () => metrics.budgetUnchecked.inc(),
  });
  const { bodyLimitBytes, requestTimeoutMs } = config.server;
  const app = buildServer({
    authenticator,
    admission,
    bus,
    exchanges,
    clock,
    requestTimeoutMs,
    log,
    health,
    registry,
    bodyLimitBytes,
    catalog,
    forced,
    watch,
  });

  const subscriptions = [
    inbox.listen(),
    bus.onMessage(beatWildcard('router'), RouterBeat, (beat) => {
      routers.onBeat(beat);
      watch.onRouterBeat(beat);
    }),
    bus.onMessage(beatWildcard('worker'), WorkerBeat, (beat) => {
      workers.onBeat(beat);
      watch.onWorkerBeat(beat);
      if (beat.isDraining) ahead.removeWorker(beat.worker);
    }),
    bus.onMessage(beatWildcard('ledger'), LedgerBeat, (beat) => {
      health.onLedgerBeat(beat);
      watch.onLedgerBeat(beat);
      revisions.onLedgerBeat(beat, clock.now());
    }),
    bus.onMessage(RULES_CHANGED, RulesChanged, (change) => revisions.onRulesChanged(change, clock.now())),
    leases.onRecall((budget, subject) => book.giveBack(budget, subject)),
  ];
  bus.onConnection((isConnected) => {
    if (isConnected) return;
    revisions.onConnectionLost();
    exchanges.onBrokerGone();
    routers.clear();
    ahead.clear();
    workers.onBrokerGone();
  });
  const stall = new StallWatch(SWEEP_EVERY_MS, clock.now());
  const sweeper = setInterval(() => {
    const now = clock.now();
    const stalledMs = stall.stalledMs(now);
    routers.sweep(now, stalledMs);
    workers.sweep(now, stalledMs);
    outgoing.giveBack(ahead.expire(now));
    exchanges.sweep(now);
    book.sweep(now);
    witness.sweep(now);
    watch.sweep(now, stalledMs);
    revisions.sweep(now);
  }, SWEEP_EVERY_MS);

  /**
   * New connections are refused by now. A request on one that there is, is served on: its client could not know. fastify
   * adds `connection: close` to the answer.
   */
  const drain = async (limitMs: Millis, closed: Promise<void>): Promise<void> => {
    const endsAt = clock.now() + limitMs;
    const closeIdle = setInterval(() => app.server.closeIdleConnections(), SWEEP_EVERY_MS);
    do await exchanges.idle(endsAt - clock.now());
    while (!(await settlesWithin(closed, LAST_REQUEST_MS)) && exchanges.size > 0 && clock.now() < endsAt);
    exchanges.endAll();
    await settlesWithin(closed, LAST_REQUEST_MS);
    clearInterval(closeIdle);
  };

  const { host } = config.server;
  await app.listen({ host, port: config.server.port, backlog: BACKLOG });
  const { port } = app.server.address() as AddressInfo;

  return {
    id,
    host,
    port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    stop: async (drainLimitMs = DRAIN_LIMIT_MS) => {
      health.isDraining = true;
      const closed = app.close();
      await drain(drainLimitMs, closed);
      app.server.closeAllConnections();
      await closed;
      clearInterval(sweeper);
      await book.stop();
      stopLimits();
      outgoing.giveBack(ahead.clear());
      for (const subscription of subscriptions) subscription.unsubscribe();
      if (!(await journal.drain(JOURNAL_DRAIN_MS)))
        log.error({ backlog: journal.backlog }, 'usage events were not taken by the broker in time');
    },
  };
}

async function settlesWithin(promise: Promise<unknown>, ms: Millis): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const settled = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return settled;
}
