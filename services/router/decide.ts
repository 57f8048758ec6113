import type { Bus } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import type { Catalog, Deployment } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Placed, Refused, SlotRange, Tried, Waiting } from '../../shared/messages/envelope.ts';
import { Envelope } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import { ingressOfInbox, routerBounceSubject, wantSubject } from '../../shared/subjects.ts';
import type { AheadGrants } from './ahead.ts';
import { isSettledChoice, pickOrder } from './core/pick.ts';
import type { Slot, SlotTable } from './core/slot-table.ts';
import type { Waiter, WaitingLines } from './core/waiting-line.ts';
import type { RouterMetrics } from './metrics.ts';

/** What a request that waits needs once a slot is there. */
export interface WaitingRequest extends Waiter {
  readonly reply: string;
  readonly stream: number;
  readonly route: string | null;
  readonly timeoutMs: number | undefined;
  /** By pool: the deployment to use there. */
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly avoid: ReadonlySet<string>;
  readonly since: Millis;
}

export interface DecideDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: () => number;
  readonly catalog: Catalog;
  readonly slots: SlotTable;
  readonly lines: WaitingLines<WaitingRequest>;
  readonly ahead: AheadGrants;
  readonly metrics: RouterMetrics;
}

/** Answers "where?": a slot at once, a place in line, or a refusal. Holds no state of a request but its place in line. */
export class Decider {
  readonly #deps: DecideDeps;
  /** Pools whose workers have been asked for slots in this turn. */
  readonly #wantedThisTurn = new Set<string>();
  /** Whether a pool without workers has none; before that requests wait for them rather than being refused. */
  #isSettled = false;

  constructor(deps: DecideDeps) {
    this.#deps = deps;
  }

  /** An `ask` frame. @throws PoisonedMessage */
  ask(payload: Buffer, stream: number, reply: string): void {
    const envelope = decode(Envelope, payload);
    try {
      this.#decide(envelope, stream, reply);
    } catch (failure) {
      this.#refuse(reply, stream, GatewayError.from(failure), envelope.tried.length > 0);
    }
  }

  /** An `abandon` frame: its client left, or it asks elsewhere. */
  abandon(stream: number, reply: string): void {
    this.#deps.lines.remove(keyOf(reply, stream));
  }

  /** Its ingress is dead, with the clients: each place in line would cost a slot that nobody uses. */
  forgetIngress(ingress: string): void {
    this.#deps.lines.removeWhere(({ reply }) => ingressOfInbox(reply) === ingress);
    this.#deps.ahead.forgetIngress(ingress);
  }

  /** The pool has slots again: the line moves. */
  serveLine(pool: string): void {
    const { lines, slots } = this.#deps;
    const hadLine = lines.waitingIn(pool) > 0;
    for (let waiter = lines.first(pool); waiter !== undefined; waiter = lines.first(pool)) {
      const deployment = waiter.deployments.get(pool);
      const slot = deployment === undefined ? undefined : slots.take(pool, waiter.avoid);
      if (deployment === undefined || slot === undefined) return;
      lines.remove(waiter.key);
      this.#place(waiter, deployment, slot);
    }
    // Until they know, workers would keep what is free for us, while others may wait for it.
    if (hadLine) this.want(pool);
  }

  /**
   * Refuses those whose deadline came, and those whose every pool has lost its last worker.
   * @param isSettled every worker that lives has been heard of
   */
  sweep(now: Millis, isSettled: boolean): void {
    const { lines, slots } = this.#deps;
    this.#isSettled = isSettled;
    for (const waiter of lines.removeExpired(now)) {
      this.#refuse(
        waiter.reply,
        waiter.stream,
        new GatewayError('deadline_exceeded', 'The deadline came while the request waited for a free slot.'),
        false,
      );
    }
    if (!isSettled) return;
    for (const waiter of lines.removeWhere(({ pools }) => !pools.some((pool) => slots.hasWorkers(pool)))) {
      this.#refuse(waiter.reply, waiter.stream, noWorkers(), false);
    }
  }

  /** Tells the workers of a pool how many wait here: at once when a line begins or ends, and with each heartbeat. */
  want(pool: string): void {
    const { bus, id, lines } = this.#deps;
    const message = { v: 1, router: id, pool, waiting: lines.waitingIn(pool) };
    bus.post(wantSubject(pool), '', FrameType.want, 0, 0, JSON.stringify(message));
  }

  #decide(envelope: Envelope, stream: number, reply: string): void {
    const { ahead, catalog, slots, random, clock } = this.#deps;
    const resolution = catalog.resolve(envelope.model);
    if (resolution === undefined) {
      throw new GatewayError(
        'model_not_found',
        `The model \`${envelope.model}\` does not exist or you do not have access to it.`,
        { param: 'model' },
      );
    }
    const remainingMs = envelope.deadlineEpochMs - clock.epochMs();
    if (remainingMs <= 0)
      throw new GatewayError('deadline_exceeded', 'The deadline came before the request was placed.');
    const affinity = envelope.affinity ?? envelope.principal.keyId;
    const candidates = pickOrder(resolution, { tried: envelope.tried, affinity }, random);
    const known = candidates.filter((deployment) => slots.hasWorkers(deployment.pool));
    const served = known.length === 0 && !this.#isSettled ? candidates : known;
    this.#noteDeadWorkers(envelope.tried);
    if (served.length === 0) throw noWorkers();
    const avoid = new Set(envelope.tried.map(({ worker }) => worker));
    const waiter: WaitingRequest = {
      key: keyOf(reply, stream),
      pools: [...new Set(served.map(({ pool }) => pool))],
      deadline: clock.now() + remainingMs,
      reply,
      stream,
      route: resolution.route,
      timeoutMs: resolution.timeoutMs,
      deployments: firstByPool(served),
      avoid,
      since: clock.now(),
    };
    for (const deployment of served) {
      // Those who wait already come first.
      if (this.#deps.lines.waitingIn(deployment.pool) > 0) continue;
      const slot = slots.take(deployment.pool, avoid);
      if (slot === undefined) continue;
      // What is right for want of better, or after a failure, is not so for the requests to come.
      const isLasting = deployment === candidates[0] && envelope.tried.length === 0 && isSettledChoice(resolution);
      const granted = isLasting ? ahead.grant(deployment.pool, reply, envelope.slotsAhead ?? 0) : [];
      return this.#place(waiter, deployment, slot, granted);
    }
    this.#stand(waiter);
  }

  #stand(waiter: WaitingRequest): void {
    const { id, lines, metrics } = this.#deps;
    const position = lines.add(waiter);
    if (position === undefined) {
      throw new GatewayError('queue_full', 'Every deployment of this model is busy and its queue is full.', {
        retryAfterMs: 1_000,
      });
    }
    metrics.queued.inc();
    this.#answer(waiter.reply, FrameType.waiting, waiter.stream, { v: 1, router: id, position });
    for (const pool of waiter.pools) {
      if (this.#wantedThisTurn.has(pool)) continue;
      this.#wantedThisTurn.add(pool);
      setImmediate(() => {
        this.#wantedThisTurn.delete(pool);
        if (lines.waitingIn(pool) === 0) return;
        this.want(pool);
        this.#deps.ahead.recall(pool);
      });
    }
  }

  #place(waiter: WaitingRequest, deployment: Deployment, { worker, slot }: Slot, ahead: SlotRange[] = []): void {
    const { clock, id, metrics } = this.#deps;
    const placed: Placed = {
      v: 1,
      deployment: deployment.id,
      pool: deployment.pool,
      worker,
      router: id,
      slot,
      route: waiter.route,
      queueMs: Math.max(0, Math.round(clock.now() - waiter.since)),
      ...(waiter.timeoutMs === undefined ? {} : { timeoutMs: waiter.timeoutMs }),
      ...(ahead.length === 0 ? {} : { ahead }),
    };
    metrics.placed.inc();
    this.#answer(waiter.reply, FrameType.placed, waiter.stream, placed);
  }

  #refuse(reply: string, stream: number, error: GatewayError, isRetry: boolean): void {
    const refused: Refused = { v: 1, error: error.toWire(), isExhausted: isRetry && error.code === 'no_deployment' };
    this.#deps.metrics.refused.inc({ code: error.code });
    this.#answer(reply, FrameType.refused, stream, refused);
  }

  #answer(reply: string, type: FrameType, stream: number, message: Placed | Waiting | Refused): void {
    const { bus, id } = this.#deps;
    bus.post(reply, routerBounceSubject(id, ingressOfInbox(reply)), type, stream, 0, JSON.stringify(message));
  }

  #noteDeadWorkers(tried: readonly Tried[]): void {
    for (const { worker, code } of tried) if (code === 'worker_lost') this.#deps.slots.suspect(worker);
  }
}

function keyOf(reply: string, stream: number): string {
  return `${reply} ${stream}`;
}

function noWorkers(): GatewayError {
  return new GatewayError('no_deployment', 'No deployment of this model can serve the request now.', {
    retryAfterMs: 1_000,
  });
}

function firstByPool(deployments: readonly Deployment[]): Map<string, Deployment> {
  const byPool = new Map<string, Deployment>();
  for (const deployment of deployments) if (!byPool.has(deployment.pool)) byPool.set(deployment.pool, deployment);
  return byPool;
}
