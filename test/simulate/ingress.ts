import type { Catalog } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import { DEFAULT_POLICY } from '../../shared/config.ts';
import type { RoutePolicy } from '../../shared/config.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { RouterBeat } from '../../shared/messages/beat.ts';
import type { Lane, Placed, Refused, Tried } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import { RetryBudget } from '../../shared/retry-budget.ts';
import { beatWildcard, inboxSubject, routerSubject, workerSubject } from '../../shared/subjects.ts';
import { History } from '../../services/ingress/core/history.ts';
import { nextStep, restBeforeRound } from '../../services/ingress/core/next-step.ts';
import { Routers } from '../../services/ingress/routers.ts';
import type { VirtualBus } from './virtual-bus.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { SimulatedWorker, Task } from './worker.ts';

/** As the ingress gives to each name (`services/ingress/route-terms.ts`). */
const RETRIES = { ratio: 0.2, minPerSecond: 10 };
const MAX_QUESTIONS = 24;
/** Deadlines and rests are looked at this often. */
const SWEEP_EVERY_MS = 25;

/** A request that arrives. */
export interface Arrival {
  readonly model: string;
  readonly tenant: string;
  readonly lane: Lane;
  readonly isStream: boolean;
  readonly tokens: number;
  /** Of its conversation, for routes that keep those together. */
  readonly affinity: string;
  /** A request of size 1 takes a deployment's mean time. */
  readonly size: number;
  readonly deadlineMs: Millis;
}

/** What became of it. Every request ends once. */
export interface Ended {
  readonly arrival: Arrival;
  readonly startedAt: Millis;
  readonly endedAt: Millis;
  readonly code: ErrorCode | null;
  readonly attempts: number;
  readonly queueMs: Millis;
  /** Where it was last. */
  readonly placed: Placed | undefined;
}

interface Request {
  readonly arrival: Arrival;
  readonly startedAt: Millis;
  readonly deadline: Millis;
  readonly history: History;
  readonly policy: RoutePolicy;
  readonly retries: RetryBudget;
  stream: number;
  /** Asked, and not yet placed or refused. */
  router: string | undefined;
  placed: Placed | undefined;
  task: Task | undefined;
}

export interface IngressDeps {
  readonly id: string;
  readonly time: VirtualTime;
  readonly bus: VirtualBus;
  readonly catalog: Catalog;
  readonly workers: ReadonlyMap<string, SimulatedWorker>;
  readonly random: () => number;
  readonly onEnded: (ended: Ended) => void;
}

/** An ingress: whom it asks, and what follows a failure, are the real decisions, called as `Exchange` does; nothing is relayed. */
export class SimulatedIngress {
  readonly #deps: IngressDeps;
  readonly #routers: Routers;
  readonly #retries = new Map<string, RetryBudget>();
  /** In the order of their coming. */
  readonly #live = new Set<Request>();
  readonly #asking = new Map<number, Request>();
  readonly #heads = new Map<string, string>();
  readonly #inboxes = new Set<string>();
  #streams = 0;

  constructor(deps: IngressDeps) {
    this.#deps = deps;
    const { bus, time } = deps;
    this.#routers = new Routers(time.clock, () => undefined);
    bus.onMessage(beatWildcard('router'), undefined, (beat: RouterBeat) => this.#routers.onBeat(beat));
    time.every(SWEEP_EVERY_MS, () => this.#sweep());
  }

  get live(): number {
    return this.#live.size;
  }

  take(arrival: Arrival): void {
    const { catalog, time } = this.#deps;
    const { now } = time;
    const retries = this.#retriesOf(arrival.model);
    retries.deposit(now);
    const request: Request = {
      arrival,
      startedAt: now,
      deadline: now + arrival.deadlineMs,
      history: new History(),
      policy: catalog.resolve(arrival.model)?.policy ?? DEFAULT_POLICY,
      retries,
      stream: 0,
      router: undefined,
      placed: undefined,
      task: undefined,
    };
    this.#live.add(request);
    this.#ask(request);
  }

  #ask(request: Request): void {
    const { bus, id, time } = this.#deps;
    const { arrival, deadline, history } = request;
    const router = this.#routers.next();
    if (router === undefined || ++history.questions > MAX_QUESTIONS) {
      const unasked = new GatewayError('router_unavailable', 'No router answers.');
      return this.#over(
        request,
        history.questions > MAX_QUESTIONS ? (history.lastFailure ?? unasked).code : unasked.code,
      );
    }
    const inbox = inboxSubject(id, router);
    if (!this.#inboxes.has(inbox)) {
      this.#inboxes.add(inbox);
      bus.onText(inbox, (type, stream, text) => this.#onFrame(type, stream, text));
    }
    request.stream = ++this.#streams;
    request.router = router;
    this.#asking.set(request.stream, request);
    const deadlineEpochMs = time.clock.epochMs() - time.now + deadline;
    const own = `"deadlineEpochMs":${deadlineEpochMs},"affinity":"${arrival.affinity}","queuedMs":${history.queueMs},"tried":${triedText(history.tried)}}`;
    bus.post(routerSubject(router), inbox, FrameType.ask, request.stream, 0, this.#headOf(arrival) + own);
  }

  /** What all envelopes of requests of one kind begin with. */
  #headOf({ model, tenant, lane, isStream, tokens }: Arrival): string {
    const kind = `${model} ${tenant} ${lane} ${isStream} ${tokens}`;
    let head = this.#heads.get(kind);
    if (head === undefined) {
      const principal = { keyId: tenant, keyName: tenant, team: tenant };
      const fields = { v: 1, id: 'req_simulated', principal, model, endpoint: 'chat', stream: isStream, lane };
      head = `${JSON.stringify({ ...fields, bodyBytes: tokens * 4, inputTokens: tokens }).slice(0, -1)},`;
      this.#heads.set(kind, head);
    }
    return head;
  }

  #onFrame(type: number, stream: number, text: string): void {
    if (type === FrameType.waiting) return;
    const request = this.#asking.get(stream);
    if (type !== FrameType.placed && type !== FrameType.refused)
      throw new Error(`an ingress takes no frame ${type} here`);
    if (request === undefined) return this.#onLatePlace(type, text);
    this.#asking.delete(stream);
    request.router = undefined;
    if (type === FrameType.placed) this.#onPlaced(request, JSON.parse(text) as Placed);
    else this.#onRefused(request, JSON.parse(text) as Refused);
  }

  /** Its deadline came meanwhile: the slot goes back unused, as `Outgoing.giveBack` does. */
  #onLatePlace(type: number, text: string): void {
    if (type !== FrameType.placed) return;
    const { worker, router, pool, slot } = JSON.parse(text) as Placed;
    const returned = JSON.stringify({ v: 1, router, pool, from: slot, to: slot });
    this.#deps.bus.post(workerSubject(worker), '', FrameType.returned, 0, 0, returned);
  }

  #onPlaced(request: Request, placed: Placed): void {
    const { bus, workers } = this.#deps;
    const { arrival, history } = request;
    const { isStream, size, tokens } = arrival;
    const attempt = history.begin(placed);
    const task: Task = {
      ...{ placed, isStream, size, tokens },
      onOver: (failure, isAttempt) => {
        if (request.task !== task) return;
        request.task = undefined;
        if (failure === undefined) this.#over(request, null);
        else this.#onFailed(request, failure, { placed, attempt }, isAttempt);
      },
    };
    request.placed = placed;
    request.task = task;
    bus.hop(() => workers.get(placed.worker)?.open(task));
  }

  #onFailed(
    request: Request,
    failure: GatewayError,
    where: { readonly placed: Placed; readonly attempt: number },
    isAttempt: boolean,
  ): void {
    const { history, policy, retries, deadline } = request;
    const { now } = this.#deps.time;
    history.fail(failure, where, { costNanoUsd: 0, isAttempt });
    const { attempts, costNanoUsd, lastFailure } = history;
    const soFar = { attempts, costNanoUsd, hasShown: false, remainingMs: deadline - now };
    const step = nextStep(failure.code, policy, soFar, retries, now);
    if (step === 'elsewhere') this.#ask(request);
    else this.#over(request, (lastFailure ?? failure).code);
  }

  #onRefused(request: Request, { error, isExhausted }: Refused): void {
    const { random, time } = this.#deps;
    const { history, deadline } = request;
    const { lastFailure: last, rounds } = history;
    const isNobodyElse = isExhausted || error.code === 'no_capable_deployment';
    if (last === undefined || !isNobodyElse) return this.#over(request, GatewayError.fromWire(error).code);
    const restMs = restBeforeRound(last, { rounds, remainingMs: deadline - time.now }, random);
    if (restMs === undefined) return this.#over(request, last.code);
    history.beginRound();
    time.after(restMs, () => {
      if (this.#live.has(request)) this.#ask(request);
    });
  }

  #sweep(): void {
    const { now } = this.#deps.time;
    this.#routers.sweep(now, 0);
    for (const request of this.#live) {
      if (request.deadline > now) {
        // Most have the same time limit: nobody behind it is due.
        if (now - request.startedAt < request.arrival.deadlineMs / 2) break;
        continue;
      }
      this.#leave(request);
      this.#over(request, 'deadline_exceeded');
    }
  }

  #leave(request: Request): void {
    const { bus, id, workers } = this.#deps;
    const { placed, router, stream, task } = request;
    if (router !== undefined)
      bus.post(routerSubject(router), inboxSubject(id, router), FrameType.abandon, stream, 0, '');
    this.#asking.delete(stream);
    if (task === undefined || placed === undefined) return;
    request.task = undefined;
    bus.hop(() => workers.get(placed.worker)?.cancel(task, 'deadline_exceeded'));
  }

  #over(request: Request, code: ErrorCode | null): void {
    if (!this.#live.delete(request)) throw new Error('a request ended twice');
    const { arrival, startedAt, placed, history } = request;
    const { attempts, queueMs } = history;
    this.#deps.onEnded({ arrival, startedAt, endedAt: this.#deps.time.now, code, attempts, queueMs, placed });
  }

  #retriesOf(model: string): RetryBudget {
    let retries = this.#retries.get(model);
    if (retries === undefined) {
      retries = new RetryBudget(RETRIES);
      this.#retries.set(model, retries);
    }
    return retries;
  }
}

function triedText(tried: readonly Tried[]): string {
  return tried.length === 0 ? '[]' : JSON.stringify(tried);
}
