import type { Bus } from '../../shared/bus.ts';
import type { Deployment } from '../../shared/catalog.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { GatewayError } from '../../shared/errors.ts';
import type { Placed, Refused, SlotRange, Waiting } from '../../shared/messages/envelope.ts';
import { FrameType } from '../../shared/messages/frame.ts';
import { ingressOfInbox, routerBounceSubject } from '../../shared/subjects.ts';
import type { HealthTable } from './core/health-table.ts';
import type { Slot } from './core/slot-table.ts';
import type { RouterMetrics } from './metrics.ts';
import type { Question, Serving } from './question.ts';

/** A slot for a question, and how it came to it. */
export interface Place {
  readonly deployment: Deployment;
  readonly slot: Slot;
  readonly reason: string;
  /** In line, here and at routers that were lost. Not given: as long as it had waited before it came here. */
  readonly queueMs?: Millis;
  /** Slots for the next requests of the same name. */
  readonly ahead?: SlotRange[];
}

export interface AnswersDeps {
  readonly id: string;
  readonly bus: Pick<Bus, 'post'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly health: HealthTable;
  readonly metrics: RouterMetrics;
}

/** What a router says to the ingress that asked it. */
export class Answers {
  readonly #deps: AnswersDeps;

  constructor(deps: AnswersDeps) {
    this.#deps = deps;
  }

  placed(question: Question, { resolution, variant, downgradedTo }: Serving, place: Place): void {
    const { clock, health, id, metrics } = this.#deps;
    const { deployment, slot, reason, queueMs = question.envelope.waitedMs ?? 0, ahead = [] } = place;
    const { timeoutMs, hedge } = resolution.policy;
    const hedgeAfterMs = hedge?.afterMs === 'p95' ? health.p95(deployment.id) : hedge?.afterMs;
    const placed: Placed = {
      v: 1,
      deployment: deployment.id,
      pool: deployment.pool,
      worker: slot.worker,
      router: id,
      slot: slot.slot,
      route: resolution.route,
      reason,
      ...(variant === undefined ? {} : { variant }),
      ...(downgradedTo === undefined ? {} : { downgradedTo }),
      ...(hedgeAfterMs === undefined ? {} : { hedgeAfterMs }),
      queueMs: Math.max(0, Math.round(queueMs)),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(ahead.length === 0 ? {} : { ahead }),
    };
    health.placed(deployment.id, slot.worker, question.tokens, clock.now());
    metrics.placed(reason);
    this.#say(question, FrameType.placed, placed);
  }

  waiting(question: Question, position: number): void {
    this.#say(question, FrameType.waiting, { v: 1, router: this.#deps.id, position });
  }

  refused(question: Question, error: GatewayError): void {
    const isNobodyLeft = error.code === 'no_deployment' || error.code === 'route_at_capacity';
    const isExhausted = question.envelope.tried.length > 0 && isNobodyLeft;
    this.#deps.metrics.refused.inc({ code: error.code });
    this.#say(question, FrameType.refused, { v: 1, error: error.toWire(), isExhausted });
  }

  #say({ reply, stream }: Question, type: FrameType, message: Placed | Waiting | Refused): void {
    // Where NATS says that its ingress is dead.
    const bounce = routerBounceSubject(this.#deps.id, ingressOfInbox(reply));
    this.#deps.bus.post(reply, bounce, type, stream, 0, JSON.stringify(message));
  }
}
