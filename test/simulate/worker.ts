import type { Catalog } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import type { ProviderConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import { BEAT_EVERY_MS } from '../../shared/messages/beat.ts';
import type { Placed } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import type { SlotsReturned, SlotsWanted } from '../../shared/messages/slots.ts';
import type { TaskHead } from '../../shared/messages/task.ts';
import { poolsOf } from '../../shared/pools.ts';
import { beatSubject, beatWildcard, wantSubject, workerSubject } from '../../shared/subjects.ts';
import type { Refusal } from '../../services/workers/admit.ts';
import { Admissions, AdmittedCall } from '../../services/workers/admit.ts';
import { Announcer } from '../../services/workers/announce.ts';
import type { Ending } from '../../services/workers/core/verdict.ts';
import { Guards } from '../../services/workers/guards.ts';
import { WorkerPool } from '../../services/workers/pool.ts';
import type { Upstream } from './upstream.ts';
import type { VirtualBus } from './virtual-bus.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What an ingress gives to a worker. */
export interface Task {
  readonly placed: Placed;
  readonly size: number;
  readonly isStream: boolean;
  readonly tokens: number;
  /** `failure` undefined: with a whole answer. `isAttempt` false: no provider was called. */
  readonly onOver: (failure: GatewayError | undefined, isAttempt: boolean) => void;
}

interface Live {
  readonly call: AdmittedCall;
  readonly pool: WorkerPool;
  readonly upstream: Upstream;
  readonly timers: Array<() => void>;
}

export interface WorkerDeps {
  readonly id: string;
  readonly time: VirtualTime;
  readonly bus: VirtualBus;
  readonly catalog: Catalog;
  readonly providers: readonly ProviderConfig[];
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly random: () => number;
  /** Until its first heartbeat. */
  readonly startsInMs: Millis;
}

/** A worker process, wired as `startWorkers` does: slots, admission and reports are the real ones, the calls are simulated. */
export class SimulatedWorker {
  /** Tasks that it did not begin, by why. */
  readonly declined: Record<Refusal['reason'] | 'no_slot', number> = {
    ...{ no_slot: 0, breaker_open: 0, throttled: 0, drained: 0, disabled: 0 },
  };
  readonly #deps: WorkerDeps;
  readonly #pools = new Map<string, WorkerPool>();
  readonly #admissions: Admissions;
  readonly #guards: Guards;
  readonly #providers: ReadonlyMap<string, ProviderConfig>;
  readonly #live = new Map<Task, Live>();

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    const { bus, catalog, id, providers, random, startsInMs, time } = deps;
    const { clock } = time;
    this.#providers = new Map(providers.map((provider) => [provider.name, provider]));
    const poolDeps = { bus: bus.asBus, clock, workerId: id, mayIssue: () => true };
    for (const config of providers.flatMap(poolsOf)) {
      const pool = new WorkerPool(config, undefined as never, poolDeps);
      this.#pools.set(config.name, pool);
      bus.onText(wantSubject(config.name), (_type, _stream, text) => {
        const { router, waiting } = JSON.parse(text) as SlotsWanted;
        pool.wanted(router, waiting);
      });
    }
    const announcer = new Announcer(clock, () => this.#sayHow());
    const onChange = (): void => announcer.changed();
    this.#guards = new Guards({ catalog, providers, random, onChange, onTransition: () => undefined });
    this.#admissions = new Admissions({
      ...{ clock, guards: this.#guards, shared: undefined, forced: undefined },
      onDegraded: () => undefined,
    });
    bus.onText(workerSubject(id), (type, _stream, text) => {
      if (type !== FrameType.returned) throw new Error(`a worker takes no frame of type ${type} here`);
      const { pool, router, from, to } = JSON.parse(text) as SlotsReturned;
      this.#pools.get(pool)?.giveBack(router, from, to);
    });
    bus.onMessage(beatWildcard('router'), undefined, (beat: RouterBeat) => {
      for (const pool of this.#pools.values()) pool.onRouterBeat(beat);
    });
    time.after(startsInMs, () => {
      time.every(BEAT_EVERY_MS, () => this.#beat());
      this.#beat();
    });
  }

  open(task: Task): void {
    const { placed, isStream, tokens } = task;
    const { bus, catalog } = this.#deps;
    const pool = this.#pools.get(placed.pool)!;
    const decline = (why: keyof SimulatedWorker['declined'], error: GatewayError): void => {
      this.declined[why]++;
      bus.hop(() => task.onOver(error, false));
    };
    if (!pool.take(placed.router, placed.slot))
      return decline('no_slot', new GatewayError('worker_busy', 'The worker has no free slot.'));
    const head = { tokensEstimate: tokens, stream: isStream, reason: placed.reason };
    const call = this.#admissions.admit(head as TaskHead, catalog.deployment(placed.deployment)!, pool);
    if (call instanceof AdmittedCall) return this.#call(task, call, pool);
    pool.release();
    if ('error' in call) decline(call.reason, call.error);
  }

  /** Its client left, or its deadline came. */
  cancel(task: Task, code: 'client_closed_request' | 'deadline_exceeded'): void {
    this.#finish(task, { code });
  }

  #call(task: Task, call: AdmittedCall, pool: WorkerPool): void {
    const { time, upstreams } = this.#deps;
    const { placed, isStream, size } = task;
    const upstream = upstreams.get(placed.deployment)!;
    const timers: Array<() => void> = [];
    const later = (ms: Millis, run: () => void): void => void timers.push(time.after(ms, run));
    this.#live.set(task, { call, pool, upstream, timers });
    const outcome = upstream.call(size, time.now);
    const headers = upstream.headers(time.now);
    const { timeouts } = this.#providers.get(placed.deployment.slice(0, placed.deployment.indexOf('/')))!;
    const patienceMs = isStream ? timeouts.firstTokenMs : timeouts.totalMs;
    const firstMs = outcome.kind === 'answer' ? (isStream ? outcome.firstMs : outcome.totalMs) : Infinity;
    if (outcome.kind === 'error') {
      const { afterMs, code, retryAfterMs } = outcome;
      later(afterMs, () => this.#end(task, { code, retryAfterMs }));
      return;
    }
    if (outcome.kind === 'hang' || firstMs > patienceMs) {
      later(patienceMs, () => this.#end(task, { code: 'upstream_timeout' }));
      return;
    }
    const begin = (): void => {
      if (headers !== undefined) call.answered(headers);
      call.began();
    };
    if (isStream) later(firstMs, begin);
    later(outcome.totalMs, () => {
      if (!isStream) begin();
      this.#end(task, { code: null });
    });
  }

  #end(task: Task, ending: Ending): void {
    this.#finish(task, ending);
    const { code, retryAfterMs } = ending;
    const failure = code === null ? undefined : new GatewayError(code, 'The provider failed.', { retryAfterMs });
    this.#deps.bus.hop(() => task.onOver(failure, true));
  }

  #finish(task: Task, ending: Ending): void {
    const live = this.#live.get(task);
    if (live === undefined) return;
    this.#live.delete(task);
    const { call, pool, upstream, timers } = live;
    for (const cancel of timers) cancel();
    upstream.ended(ending.code === null);
    call.ended(ending, task.tokens);
    pool.release();
  }

  #beat(): void {
    this.#sayHow();
    for (const pool of this.#pools.values()) pool.refresh(this.#deps.time.now);
  }

  #sayHow(): void {
    const { bus, id, time } = this.#deps;
    const pools = [...this.#pools.values()].map(({ name, capacity, inFlight }) => ({ pool: name, capacity, inFlight }));
    const routers = [...new Set([...this.#pools.values()].flatMap((pool) => [...pool.routers]))];
    const deployments = this.#guards.reports(time.now, routers);
    bus.publish(beatSubject('worker', id), { v: 1, worker: id, isDraining: false, pools, deployments });
  }
}
