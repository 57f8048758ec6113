import type { Bus } from '../../shared/bus.ts';
import { decode } from '../../shared/bus.ts';
import type { Catalog, Deployment, Resolution } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { OnLimitEnd, PolicyOverrides } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Tried } from '../../shared/messages/envelope.ts';
import { Envelope } from '../../shared/messages/envelope.ts';
import { ingressOfInbox } from '../../shared/subjects.ts';
import type { AheadGrants } from './ahead.ts';
import { Answers } from './answers.ts';
import type { Candidates, Surroundings } from './core/candidates.ts';
import { findCandidates, isReady, leastBad, nobody, noneNow } from './core/candidates.ts';
import { requirementsOf } from './core/eligible.ts';
import { refuses } from './core/expected-wait.ts';
import type { HealthTable } from './core/health-table.ts';
import type { PickDeps } from './core/pick.ts';
import { inOrder, isSettledChoice, targetsOf } from './core/pick.ts';
import type { SlotTable } from './core/slot-table.ts';
import type { RouterMetrics } from './metrics.ts';
import type { Queue, WaitingRequest } from './queue.ts';
import type { Question, Serving } from './question.ts';
import { affinityOf, askedOf, deadlineOf, isHedge, keyOf, questionOf, reasonOf } from './question.ts';

/** From route to route; the configuration has no circles, so this is never met. */
const MAX_DOWNGRADES = 8;

export interface DecideDeps {
  readonly id: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: () => number;
  readonly catalog: Catalog;
  readonly slots: SlotTable;
  readonly health: HealthTable;
  readonly queue: Queue;
  readonly ahead: AheadGrants;
  readonly metrics: RouterMetrics;
}

/** Answers "where?": a slot at once, a place in line, or a refusal. Holds no state of a request but its place in line. */
export class Decider {
  readonly #deps: DecideDeps;
  readonly #answers: Answers;
  /** Whether a pool without workers has none; before that requests wait for them rather than being refused. */
  #isSettled = false;

  constructor(deps: DecideDeps) {
    this.#deps = deps;
    this.#answers = new Answers(deps);
  }

  /** An `ask` frame. @throws PoisonedMessage */
  ask(payload: Buffer, stream: number, reply: string): void {
    const envelope = decode(Envelope, payload);
    const question = questionOf(envelope, reply, stream, this.#deps.clock.now());
    this.#noteWhatFailed(envelope.tried);
    this.#answerWith(question, () => {
      const { model, via, overrides } = envelope;
      // The ingress has checked them; on the wire they are only a record.
      const options = { router: via, overrides: overrides as PolicyOverrides | undefined };
      const resolution = this.#deps.catalog.resolve(model, options);
      if (resolution === undefined) {
        const message = `The model \`${model}\` does not exist or you do not have access to it.`;
        throw new GatewayError('model_not_found', message, { param: 'model' });
      }
      this.#decide(question, this.#servingOf(question, resolution));
    });
  }

  /** An `abandon` frame: its client left, or it asks elsewhere. */
  abandon(stream: number, reply: string): void {
    this.#deps.queue.remove(keyOf({ reply, stream }));
  }

  /** Its ingress is dead, with the clients: each place in line would cost a slot that nobody uses. */
  forgetIngress(ingress: string): void {
    this.#deps.queue.removeWhere(({ question }) => ingressOfInbox(question.reply) === ingress);
    this.#deps.ahead.forgetIngress(ingress);
  }

  /** The pool has slots again, or one of its deployments is well again: the line moves. */
  serveLine(pool: string): void {
    const { clock, queue } = this.#deps;
    const now = clock.now();
    queue.serve(pool, now, ({ question, serving, deployment, slot, isFallback }) => {
      const queueMs = now - question.since;
      this.#answers.placed(question, serving, {
        deployment,
        slot,
        reason: reasonOf(question, serving, isFallback),
        queueMs,
      });
    });
  }

  /**
   * Ends the wait of those whose time came, and of those whose every pool has lost its last worker; lets the lines move
   * whose deployments are past their limit by now.
   * @param isSettled every worker that lives has been heard of
   */
  sweep(now: Millis, isSettled: boolean): void {
    const { queue, slots } = this.#deps;
    this.#isSettled = isSettled;
    for (const { question, serving, then } of queue.removeExpired(now)) {
      this.#answerWith(question, () => {
        if (then === undefined || deadlineOf(question, this.#deps.clock) <= now)
          throw new GatewayError('deadline_exceeded', 'The deadline came while the request waited.');
        this.#endOfLine(question, serving, then, undefined);
      });
    }
    if (isSettled) {
      const isLost = ({ deployments }: WaitingRequest): boolean =>
        !deployments.some(({ pool }) => slots.hasWorkers(pool));
      for (const { question } of queue.removeWhere(isLost)) this.#answers.refused(question, noneNow());
    }
    for (const pool of queue.pools()) this.serveLine(pool);
  }

  #servingOf({ envelope }: Question, resolution: Resolution, before?: Serving): Serving {
    const { catalog } = this.#deps;
    const { regions } = resolution.policy;
    // Where a request may go does not change with the route that serves it.
    const kept = before?.required.regions;
    const allowed =
      kept === undefined ? regions : regions === undefined ? kept : regions.filter((r) => kept.includes(r));
    const { targets, variant } = targetsOf(resolution, affinityOf(envelope));
    return {
      resolution: variant === undefined ? resolution : { ...resolution, targets },
      variant,
      required: requirementsOf(envelope, allowed, (id) => catalog.deployment(id)?.contextTokens),
      downgradedTo: before === undefined ? undefined : (resolution.route ?? undefined),
      downgrades: before === undefined ? 0 : before.downgrades + 1,
      avoid: new Set(envelope.tried.map(({ worker }) => worker)),
    };
  }

  #decide(question: Question, serving: Serving): void {
    const { clock, health, slots } = this.#deps;
    const now = clock.now();
    if (deadlineOf(question, clock) <= now)
      throw new GatewayError('deadline_exceeded', 'The deadline came before the request was placed.');
    const around = { health, slots, isSettled: this.#isSettled, now };
    if (this.#placeNow(question, serving, around, false)) return;
    if (serving.required.deferred.size > 0 && this.#placeNow(question, serving, around, true)) return;
    const { resolution, required } = serving;
    const all = [...resolution.targets.map(({ deployment }) => deployment), ...resolution.fallbacks];
    const found = findCandidates(all, required, around);
    if (found.waitable.length + found.shut.length === 0) throw nobody(question.envelope.model, found, required);
    // The first attempt is still under way: a second one that has to wait, or to hope, is of no use.
    if (isHedge(question.envelope)) throw noneNow();
    // Nobody is healthy: better to try one that may have recovered than to fail, or to wait for none.
    if (found.waitable.length === 0 && this.#placeLeastBad(question, serving, found, around)) return;
    this.#atLimit(question, serving, found, now);
  }

  /**
   * True: it is placed, at a deployment that is ready, in the strategy's order and then the fallbacks'.
   * @param isDeferred whether those are meant that said "later" to this request, or all the others
   */
  #placeNow(question: Question, serving: Serving, around: Surroundings, isDeferred: boolean): boolean {
    const { health, random } = this.#deps;
    const { envelope } = question;
    const { resolution, required } = serving;
    const { now } = around;
    const deps: PickDeps = {
      loadOf: (deployment) => health.load(deployment, envelope.stream, now),
      isReady: (deployment) =>
        required.deferred.has(deployment.id) === isDeferred && isReady(deployment, required, around),
      random,
    };
    const asked = askedOf(question, serving);
    for (const { deployment } of inOrder(resolution.policy.strategy, resolution.targets, asked, deps)) {
      if (this.#offer(question, serving, deployment, false, now)) return true;
    }
    return resolution.fallbacks.some(
      (deployment) => deps.isReady(deployment) && this.#offer(question, serving, deployment, true, now),
    );
  }

  #offer(question: Question, serving: Serving, deployment: Deployment, isFallback: boolean, now: Millis): boolean {
    const { ahead, health, queue, slots } = this.#deps;
    // Those who wait already come first.
    if (queue.isWaitedFor(deployment.pool, now)) return false;
    const mayUse = (worker: string): boolean => health.isUsableAt(deployment.id, worker, question.tokens, now);
    const slot = slots.take(deployment.pool, serving.avoid, mayUse);
    if (slot === undefined) return false;
    const { slotsAhead = 0 } = question.envelope;
    const granted =
      slotsAhead > 0 && this.#isLasting(question, serving, deployment, now)
        ? ahead.grant(deployment.pool, question.reply, slotsAhead)
        : [];
    this.#answers.placed(question, serving, {
      deployment,
      slot,
      reason: reasonOf(question, serving, isFallback),
      ahead: granted,
    });
    return true;
  }

  #placeLeastBad(question: Question, serving: Serving, { shut }: Candidates, around: Surroundings): boolean {
    for (const deployment of leastBad(shut, around)) {
      const slot = around.slots.take(deployment.pool, serving.avoid);
      if (slot === undefined) continue;
      this.#answers.placed(question, serving, { deployment, slot, reason: 'least_bad' });
      return true;
    }
    return false;
  }

  /** Every deployment is busy or limited: what the route says of that. */
  #atLimit(question: Question, serving: Serving, found: Candidates, now: Millis): void {
    const { onLimit } = serving.resolution.policy;
    if (onLimit.kind !== 'queue') return this.#endOfLine(question, serving, onLimit, undefined);
    const { queue, clock } = this.#deps;
    const { envelope } = question;
    const deadline = deadlineOf(question, clock);
    const until = Math.min(deadline, question.since - (envelope.queuedMs ?? 0) + (onLimit.forMs ?? Infinity));
    const waiter: WaitingRequest = {
      key: keyOf(question),
      deployments: [...found.waitable, ...found.shut],
      deadline: until,
      since: now,
      ...queue.shareOf(envelope.principal),
      lane: envelope.lane ?? 'interactive',
      ...{ question, serving, then: onLimit.then },
    };
    const position = queue.add(waiter, now);
    if (position === undefined) {
      throw new GatewayError('queue_full', 'Every deployment of this model is busy and its queue is full.', {
        retryAfterMs: 1_000,
      });
    }
    const waitMs = queue.expectedWaitMs(waiter, position, now);
    if (refuses({ waitMs, remainingMs: until - now })) {
      queue.remove(waiter.key);
      return this.#endOfLine(question, serving, onLimit.then, waitMs);
    }
    this.#answers.waiting(question, position);
  }

  /** It shall not wait, or not any longer. */
  #endOfLine(question: Question, serving: Serving, then: OnLimitEnd, waitMs: Millis | undefined): void {
    const { catalog } = this.#deps;
    if (then.kind === 'downgrade' && serving.downgrades < MAX_DOWNGRADES) {
      const resolution = catalog.resolve(then.to, { router: question.envelope.via });
      if (resolution !== undefined) return this.#decide(question, this.#servingOf(question, resolution, serving));
    }
    const wait = waitMs === undefined ? '' : ` The expected wait is ${Math.ceil(waitMs / 1_000)} s.`;
    const message = `Every deployment of \`${question.envelope.model}\` is at its limit.${wait}`;
    throw new GatewayError('route_at_capacity', message, { retryAfterMs: waitMs ?? 1_000 });
  }

  /** Whether the answer is right for the next requests of the name as well. */
  #isLasting(
    { envelope }: Question,
    { resolution, downgradedTo }: Serving,
    deployment: Deployment,
    now: Millis,
  ): boolean {
    return (
      deployment === resolution.targets[0]?.deployment &&
      envelope.tried.length === 0 &&
      downgradedTo === undefined &&
      resolution.policy.hedge === undefined &&
      isSettledChoice(resolution) &&
      this.#deps.health.isUnrestricted(deployment.id, now)
    );
  }

  /** Runs a decision; what it throws is the answer. */
  #answerWith(question: Question, decide: () => void): void {
    try {
      decide();
    } catch (failure) {
      this.#answers.refused(question, GatewayError.from(failure));
    }
  }

  /** What the ingress has met may be news here. */
  #noteWhatFailed(tried: readonly Tried[]): void {
    const { clock, health, slots } = this.#deps;
    for (const { worker, code } of tried) if (code === 'worker_lost') slots.suspect(worker);
    const last = tried.at(-1);
    if (last?.retryAfterMs !== undefined) health.throttle(last.deployment, clock.now() + last.retryAfterMs);
  }
}
