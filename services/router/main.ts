import type { Registry } from 'prom-client';
import type { Bus } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import type { Catalog } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { ForcedStates } from '../../shared/forced-states.ts';
import { makeInstanceId } from '../../shared/ids.ts';
import { BEAT_EVERY_MS, SILENT_AFTER_MS, WorkerBeat } from '../../shared/messages/beat.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { FrameType, PoisonedMessage } from '../../shared/messages/frame.ts';
import type { SlotsReturned } from '../../shared/messages/slots.ts';
import { SlotsIssued, SlotsRecalled } from '../../shared/messages/slots.ts';
import { StallWatch } from '../../shared/stall-watch.ts';
import {
  beatSubject,
  beatWildcard,
  ingressOfBounce,
  routerBounceWildcard,
  routerSubject,
  workerSubject,
} from '../../shared/subjects.ts';
import { AheadGrants } from './ahead.ts';
import { HealthTable } from './core/health-table.ts';
import { SlotTable } from './core/slot-table.ts';
import { Decider } from './decide.ts';
import { RouterMetrics } from './metrics.ts';
import { Queue } from './queue.ts';

const SWEEP_EVERY_MS = 50;

export interface RouterDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly forced?: Pick<ForcedStates, 'stateOf' | 'onChange' | 'all'>;
  readonly random?: () => number;
  /** Shares of tenants in a waiting line, by team or key name. */
  readonly queueWeights?: ReadonlyMap<string, number>;
}

export interface Router {
  readonly id: string;
  /** Takes no new questions and ends; requests that wait here ask another router. */
  stop(): Promise<void>;
}

/** Starts a router: soft state only, complete within one heartbeat of the workers. */
export function startRouter(deps: RouterDeps): Router {
  const { bus, clock, catalog, registry, random = Math.random, queueWeights = new Map(), forced } = deps;
  const id = makeInstanceId('rtr');
  const slots = new SlotTable();
  const health = new HealthTable(id, (deployment) => forced?.stateOf(deployment));
  const metrics: RouterMetrics = new RouterMetrics(registry, () => queue.lines);
  const ahead = new AheadGrants({ id, bus, clock, slots });
  const queue: Queue = new Queue({ id, bus, slots, health, ahead, metrics, weights: queueWeights });
  const decider = new Decider({ id, bus, clock, random, catalog, slots, health, queue, ahead, metrics });
  const heardOf = new Map<string, Millis>();
  const stall = new StallWatch(SWEEP_EVERY_MS, clock.now());
  let isDraining = false;
  let connection = 1;
  /** Until then, workers that live may not have been heard of: as after a start, or a lost connection. */
  let settlesAt = clock.now() + SILENT_AFTER_MS;

  const onSlots = (payload: Buffer): void => {
    const message = decode(SlotsIssued, payload);
    heardOf.set(message.worker, clock.now());
    if (slots.update(message)) decider.serveLine(message.pool);
  };
  const onRecall = (payload: Buffer): void => {
    const { pool, worker, count } = decode(SlotsRecalled, payload);
    const range = slots.giveBack(pool, worker, count);
    if (range.to - range.from + 1 < count) ahead.recall(pool);
    const returned: SlotsReturned = { v: 1, router: id, pool, ...range };
    bus.post(workerSubject(worker), '', FrameType.returned, 0, 0, JSON.stringify(returned));
  };
  const forget = (worker: string): void => {
    heardOf.delete(worker);
    slots.removeWorker(worker);
    health.removeWorker(worker);
  };
  const beat = (): void => {
    const now = clock.now();
    const waiting = Object.fromEntries(queue.pools().map((pool) => [pool, queue.wanting(pool, now)]));
    const message: RouterBeat = { v: 1, router: id, isDraining, connection, spent: slots.spent(), waiting };
    bus.publish(beatSubject('router', id), message);
    for (const pool of queue.pools()) queue.want(pool, now);
  };
  const sweep = (): void => {
    const now = clock.now();
    const stalledMs = stall.stalledMs(now);
    for (const [worker, at] of heardOf) {
      if (stalledMs > 0) heardOf.set(worker, at + stalledMs);
      else if (now - at > SILENT_AFTER_MS) forget(worker);
    }
    if (!bus.isConnected) settlesAt = now + SILENT_AFTER_MS;
    decider.sweep(now, now >= settlesAt);
    ahead.sweep(now);
    health.sweep(now);
  };
  /** It is not what it was: what was promised of it ahead is asked for anew, and who waits may be served now. */
  const onHealthChange = (deployment: string): void => {
    const pool = catalog.deployment(deployment)?.pool;
    if (pool === undefined) return;
    ahead.recall(pool);
    decider.serveLine(pool);
  };
  forced?.onChange(onHealthChange);

  const subscriptions = [
    bus.onFrames(routerSubject(id), (type, stream, _sequence, payload, reply) => {
      switch (type) {
        case FrameType.ask:
          if (reply === '') throw new PoisonedMessage('a question of nobody: it names no reply');
          return decider.ask(payload, stream, reply);
        case FrameType.abandon:
          return decider.abandon(stream, reply);
        case FrameType.slots:
          return onSlots(payload);
        case FrameType.recall:
          return onRecall(payload);
        default:
          throw new PoisonedMessage(`a router takes no frame of type ${type}`);
      }
    }),
    bus.onMessage(beatWildcard('worker'), WorkerBeat, (message) => {
      if (message.isDraining) return forget(message.worker);
      const isNew = !heardOf.has(message.worker);
      heardOf.set(message.worker, clock.now());
      for (const deployment of health.update(message.worker, message.deployments, clock.now()))
        onHealthChange(deployment);
      // It offers its slots to those that it has heard of: a new one serves at once, not after our next heartbeat.
      if (isNew) beat();
    }),
    bus.onFrames(routerBounceWildcard(id), () => undefined, {
      onNoResponders: (subject) => decider.forgetIngress(ingressOfBounce(subject)),
    }),
  ];
  bus.onConnection((isConnected) => {
    settlesAt = clock.now() + SILENT_AFTER_MS;
    sweep();
    if (isConnected) {
      connection++;
      return beat();
    }
    // Every slot may have moved meanwhile, and placements were lost: whoever waits here learns it from the beat, or has
    // lost the broker too, and asks anew.
    for (const worker of [...heardOf.keys()]) forget(worker);
    queue.removeWhere(() => true);
  });
  const timers = [setInterval(beat, BEAT_EVERY_MS), setInterval(sweep, SWEEP_EVERY_MS)];
  beat();

  return {
    id,
    stop: async () => {
      isDraining = true;
      beat();
      for (const timer of timers) clearInterval(timer);
      await bus.flush();
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
