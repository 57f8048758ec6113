import type { Deployment } from '../../shared/catalog.ts';
import type { Clock } from '../../shared/clock.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { ForcedState } from '../../shared/messages/control.ts';
import type { TaskHead } from '../../shared/messages/task.ts';
import type { CallObserver } from './attempt.ts';
import type { Declined } from './core/guard.ts';
import { Call } from './core/guard.ts';
import { readRateLimits } from './core/read-rate-limits.ts';
import type { Ending, Verdict } from './core/verdict.ts';
import type { Guards } from './guards.ts';
import type { Limited, SharedLimits } from './shared-limits.ts';
import type { UpstreamHeaders } from './upstream.ts';

/** `Placed.reason` of a request that no better deployment is left for. */
const LEAST_BAD = 'least_bad';

/** What operators have forced on deployments. */
export interface ForcedHook {
  stateOf(deployment: string): ForcedState['state'] | undefined;
  onChange(listener: (deployment: string) => void): unknown;
}

/** Why no attempt is begun, for the metrics and for the ingress. */
export interface Refusal {
  readonly reason: 'breaker_open' | 'throttled' | 'drained' | 'disabled';
  readonly error: GatewayError;
}

/** Whose slots the call takes: told how it went, for its concurrency limit. */
export interface Adaptive {
  adapt(verdict: Verdict): void;
}

export interface AdmissionsDeps {
  readonly clock: Clock;
  readonly guards: Guards;
  /** undefined: limits hold for this worker alone. */
  readonly shared: SharedLimits | undefined;
  readonly forced: ForcedHook | undefined;
  /** A limit that all workers share was decided without Redis. */
  readonly onDegraded: () => void;
}

/** Whether a task's deployment may be called now: what an operator forced on it, its breaker, its limits. */
export class Admissions {
  readonly #deps: AdmissionsDeps;

  constructor(deps: AdmissionsDeps) {
    this.#deps = deps;
  }

  /** A promise only where Redis must be asked. It does not reject. */
  admit(
    task: TaskHead,
    deployment: Deployment,
    pool: Adaptive,
  ): AdmittedCall | Refusal | Promise<AdmittedCall | Refusal> {
    const { clock, forced, guards, shared, onDegraded } = this.#deps;
    const state = forced?.stateOf(deployment.id);
    if (state !== undefined) return { reason: state, error: disabled() };
    const now = clock.now();
    const guard = guards.of(deployment, now);
    const plan = { tokens: task.tokensEstimate, isStream: task.stream, isLastResort: task.reason === LEAST_BAD };
    const call = guard.admit(plan, now);
    if (!(call instanceof Call)) return refusalOf(call);
    if (shared === undefined || !guard.hasLimits) return new AdmittedCall(clock, call, pool);
    if (!shared.isAway) return this.#askShared(shared, guard, call, pool);
    onDegraded();
    return new AdmittedCall(clock, call, pool);
  }

  async #askShared(
    shared: SharedLimits,
    guard: Limited & Pick<ReturnType<Guards['of']>, 'sharedRefused' | 'sharedAdmitted'>,
    call: Call,
    pool: Adaptive,
  ): Promise<AdmittedCall | Refusal> {
    const { clock, onDegraded } = this.#deps;
    const waitMs = await shared.take(guard, call.tokens);
    if (waitMs === undefined) {
      onDegraded();
      return new AdmittedCall(clock, call, pool);
    }
    if (waitMs > 0) {
      call.withdraw(clock.now());
      guard.sharedRefused(waitMs, clock.now());
      return refusalOf({ kind: 'throttled', retryAfterMs: waitMs });
    }
    guard.sharedAdmitted();
    return new AdmittedCall(clock, call, pool, { limits: shared, of: guard });
  }
}

/** A call that may be made. What becomes of it is told to the deployment's guard, the shared limits and the pool. */
export class AdmittedCall implements CallObserver {
  readonly #clock: Clock;
  readonly #call: Call;
  readonly #pool: Adaptive;
  readonly #shared: { readonly limits: SharedLimits; readonly of: Limited } | undefined;

  /** @param shared where it was taken besides; undefined: nowhere */
  constructor(clock: Clock, call: Call, pool: Adaptive, shared?: { limits: SharedLimits; of: Limited }) {
    this.#clock = clock;
    this.#call = call;
    this.#pool = pool;
    this.#shared = shared;
  }

  /** The provider is not called after all. */
  withdraw(): void {
    this.#call.withdraw(this.#clock.now());
    this.#shared?.limits.correct(this.#shared.of, { requests: -1, tokens: -this.#call.tokens });
  }

  answered(headers: UpstreamHeaders): void {
    this.#call.answered(readRateLimits(headers, this.#clock.epochMs()), this.#clock.now());
  }

  began(): void {
    this.#call.began(this.#clock.now());
  }

  ended(ending: Ending, usedTokens: number): void {
    const ended = this.#call.ended(ending, usedTokens, this.#clock.now());
    if (ended === undefined) return;
    this.#pool.adapt(ended.verdict);
    if (this.#shared === undefined) return;
    const { limits, of } = this.#shared;
    limits.correct(of, { requests: 0, tokens: usedTokens - this.#call.tokens });
    if (ended.blockedMs !== undefined) limits.block(of, ended.blockedMs);
  }
}

function refusalOf(declined: Declined): Refusal {
  // The router believed that it could be called: another place is asked for, and no client sees this.
  if (declined.kind !== 'throttled') {
    const reason = declined.kind === 'open' ? 'breaker_open' : 'throttled';
    return { reason, error: new GatewayError('worker_busy', 'The deployment is not called now.') };
  }
  const retryAfterMs = Math.ceil(declined.retryAfterMs);
  const error = new GatewayError('deployment_throttled', 'The deployment is at its rate limit.', { retryAfterMs });
  return { reason: 'throttled', error };
}

export function disabled(): GatewayError {
  return new GatewayError('deployment_disabled', 'The deployment was taken out of service.');
}
