import { ChurnMap } from '../../../shared/churn-map.ts';
import type { Millis } from '../../../shared/clock.ts';
import type { BreakerConfig, LimitsConfig } from '../../../shared/config.ts';
import type { DeploymentReport } from '../../../shared/messages/beat.ts';
import { PeakEwma } from '../../../shared/peak-ewma.ts';
import { Breaker } from './breaker.ts';
import type { BreakerState, Permit } from './breaker.ts';
import type { Room } from './limiter.ts';
import { Limiter } from './limiter.ts';
import { SlidingQuantile } from './quantile.ts';
import type { ReadRateLimits } from './read-rate-limits.ts';
import type { Ending, Verdict } from './verdict.ts';
import { verdictOf } from './verdict.ts';

/** A deployment that was used or changed within this time is reported, however well it is. */
const REPORTED_FOR_MS = 60_000;

/** What is asked for. */
export interface CallPlan {
  /** An estimate; corrected with what was used. */
  readonly tokens: number;
  readonly isStream: boolean;
  /** Nobody else is left to ask: it goes through an open breaker, though through no limit. */
  readonly isLastResort: boolean;
}

/** Why a call may not be made. */
export type Declined =
  | { readonly kind: 'open' }
  /** The rate: until `retryAfterMs` from now. */
  | { readonly kind: 'throttled'; readonly retryAfterMs: Millis }
  /** The slow start after a 429: until another call is answered. */
  | { readonly kind: 'starting' };

export interface GuardOptions {
  readonly deployment: string;
  readonly provider: string;
  readonly limits: LimitsConfig;
  /** undefined: switched off. */
  readonly breaker: BreakerConfig | undefined;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The routers must know at once. */
  readonly onChange: () => void;
  readonly onTransition: (to: BreakerState) => void;
}

/**
 * What one worker knows of one deployment, and whether the next call may be made: circuit breaker, rate limits, how long
 * it takes, how many calls are under way, and what the active health check found.
 */
export class Guard {
  readonly deployment: string;
  readonly provider: string;
  readonly limits: LimitsConfig;
  readonly #options: GuardOptions;
  readonly #breaker: Breaker | undefined;
  readonly #limiter: Limiter;
  readonly #ttft = new PeakEwma();
  readonly #total = new PeakEwma();
  readonly #ttftQuantile = new SlidingQuantile();
  #inFlight = 0;
  /** Of the routers, whose share of a slow start may be one more than the others'. */
  #turn = 0;
  /** Calls of which nothing has come yet, the oldest first. */
  readonly #silent = { stream: new ChurnMap<Call>(), plain: new ChurnMap<Call>() };
  #checkFailed: string | null | undefined;
  #state: BreakerState = 'closed';
  #activeAt: Millis;
  /** The limits that all workers share are used up until then, as far as this one was told. */
  #sharedUntil: Millis = -Infinity;
  #announcedUntil: Millis = -Infinity;

  constructor(options: GuardOptions, now: Millis) {
    this.deployment = options.deployment;
    this.provider = options.provider;
    this.limits = options.limits;
    this.#options = options;
    this.#breaker = options.breaker === undefined ? undefined : new Breaker(options.breaker, options.random);
    this.#limiter = new Limiter(options.limits);
    this.#activeAt = now;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** A limit is configured: one that holds for all workers together, where they have a place to share it. */
  get hasLimits(): boolean {
    return this.limits.requestsPerMinute !== undefined || this.limits.tokensPerMinute !== undefined;
  }

  /** The call that may be made, and must then be ended or withdrawn; or why not. */
  admit(plan: CallPlan, now: Millis): Call | Declined {
    this.#activeAt = now;
    const permit = this.#isCheckFailing ? undefined : this.#breaker?.admit(now);
    const isOpen = this.#isCheckFailing || (this.#breaker !== undefined && permit === undefined);
    if (isOpen && !plan.isLastResort) return this.#decline({ kind: 'open' });
    const waitMs = this.#limiter.take(plan.tokens, now);
    if (waitMs !== 0) {
      if (permit !== undefined) this.#breaker?.released(permit);
      return this.#decline(waitMs === 'starting' ? { kind: waitMs } : { kind: 'throttled', retryAfterMs: waitMs });
    }
    this.#inFlight++;
    this.#note(now);
    const call = new Call(this, plan, permit, now);
    call.number = this.#silentLike(plan).add(call);
    return call;
  }

  /** The limits that all workers share did not admit a call: until they may, `waitMs` from now. */
  sharedRefused(waitMs: Millis, now: Millis): void {
    this.#sharedUntil = Math.max(this.#sharedUntil, now + waitMs);
    this.#options.onChange();
  }

  sharedAdmitted(): void {
    this.#sharedUntil = -Infinity;
  }

  /** @param failed why the active health check fails; null when it passes */
  checked(failed: string | null, now: Millis): void {
    const before = this.#checkFailed ?? null;
    this.#checkFailed = failed;
    if (before === failed) return;
    this.#activeAt = now;
    this.#options.onChange();
  }

  /** @internal by `Call`: it was not made after all. */
  withdrawn({ tokens }: CallPlan, permit: Permit | undefined, now: Millis): void {
    this.#inFlight--;
    this.#limiter.giveBack(tokens, now);
    if (permit !== undefined) this.#breaker?.released(permit);
  }

  /**
   * @internal by `Call`: something of it came, or it is over.
   * @param isGood what came is no failure
   */
  isSilentNoMore(call: Call, isGood: boolean, now: Millis): void {
    if (this.#silentLike(call.plan).delete(call.number) && this.#limiter.answered(call.startedAt, isGood, now))
      this.#options.onChange();
  }

  /** @internal by `Call`: an answer came. */
  learn(limits: ReadRateLimits, now: Millis): void {
    this.#limiter.learn(limits, now);
  }

  /** @internal by `Call`. */
  took(plan: CallPlan, ms: Millis, now: Millis): void {
    (plan.isStream ? this.#ttft : this.#total).observe(ms, now);
    if (plan.isStream) this.#ttftQuantile.observe(ms, now);
  }

  /** @internal by `Call`: it ended. Answers how long nothing may be sent, where its end says so. */
  ended(call: EndedCall, now: Millis): Millis | undefined {
    const { plan, permit, verdict, ending, startedAt, durationMs, usedTokens } = call;
    this.#inFlight--;
    this.#activeAt = now;
    this.#limiter.correct(usedTokens - plan.tokens, now);
    if (ending.code !== null && call.firstContentAt === undefined)
      this.#tookAtLeast(plan, ending, now - startedAt, now);
    if (permit !== undefined) {
      if (verdict.health === 'success') this.#breaker?.succeeded(permit, now, durationMs);
      else if (verdict.health === 'failure') this.#breaker?.failed(permit, now);
      else this.#breaker?.released(permit);
    }
    if (verdict.health === 'success') this.#limiter.succeeded(startedAt);
    const blockedMs =
      verdict.blockedMs === undefined ? undefined : this.#limiter.block(verdict.blockedMs, startedAt, now);
    // The next probe may come.
    const isProbeOver = permit !== undefined && this.state(now) === 'half_open';
    if (blockedMs !== undefined || isProbeOver) this.#options.onChange();
    this.#note(now);
    return blockedMs;
  }

  /** Well, and nobody used it for `idleMs`: nothing is lost when it is forgotten. */
  isForgettable(now: Millis, idleMs: Millis): boolean {
    return this.#inFlight === 0 && now - this.#activeAt >= idleMs && this.#isWell(now);
  }

  /** Whether the routers should hear of it. */
  isReported(now: Millis): boolean {
    const isActive = this.#inFlight > 0 || now - this.#activeAt < REPORTED_FOR_MS;
    return isActive || this.#limiter.hasLimit(now) || !this.#isWell(now);
  }

  /** @param routers that hear it: each may fill its part of what is left, or together they would send as many times too much */
  report(now: Millis, routers: readonly string[] = []): DeploymentReport {
    const breaker = this.state(now);
    const probeInMs = this.#probeInMs(breaker, now);
    // Our own limit is in the room that is told; this is for all workers.
    const throttledMs = Math.max(0, this.#sharedUntil - now, this.#limiter.blockedMs(now));
    const requests = partOf(this.#limiter.requests(now), routers.length);
    const tokens = partOf(this.#limiter.tokens(now), routers.length);
    const starts = this.#limiter.starts(now);
    const ttftMs = atLeast(this.#ttft.value(now), this.#silent.stream, now);
    const totalMs = atLeast(this.#total.value(now), this.#silent.plain, now);
    const p95Ms = this.#ttftQuantile.quantile(0.95, now);
    return {
      deployment: this.deployment,
      inFlight: this.#inFlight,
      breaker,
      ...(probeInMs === undefined ? {} : { probeInMs: Math.ceil(probeInMs) }),
      ...(throttledMs > 0 ? { throttledMs: Math.ceil(throttledMs) } : {}),
      ...(requests === undefined ? {} : { requests }),
      ...(tokens === undefined ? {} : { tokens }),
      ...(starts === undefined ? {} : { starts: shareOut(starts, routers, this.#turn++) }),
      ...(ttftMs === undefined ? {} : { ttftMs: rounded(ttftMs) }),
      ...(totalMs === undefined ? {} : { totalMs: rounded(totalMs) }),
      ...(p95Ms === undefined ? {} : { p95Ms: rounded(p95Ms) }),
      ...(this.#breaker === undefined ? {} : { failureRatio: rounded(this.failureRatio(now)) }),
      ...(this.#checkFailed === undefined ? {} : { checkFailed: this.#checkFailed }),
    };
  }

  /** A failing health check counts as open. */
  state(now: Millis): BreakerState {
    return this.#isCheckFailing ? 'open' : (this.#breaker?.state(now) ?? 'closed');
  }

  /** How long until a call fits the limits; 0 when one fits now. */
  throttledMs(now: Millis): Millis {
    return Math.max(0, this.#sharedUntil - now, this.#limiter.throttledMs(now));
  }

  failureRatio(now: Millis): number {
    return this.#breaker?.failureRatio(now) ?? 0;
  }

  get #isCheckFailing(): boolean {
    return typeof this.#checkFailed === 'string';
  }

  #silentLike({ isStream }: CallPlan): ChurnMap<Call> {
    return isStream ? this.#silent.stream : this.#silent.plain;
  }

  #isWell(now: Millis): boolean {
    return this.state(now) === 'closed' && this.throttledMs(now) === 0;
  }

  /** 0: the next call would be a probe. undefined: one is under way, or none may be. */
  #probeInMs(state: BreakerState, now: Millis): Millis | undefined {
    if (this.#breaker === undefined || this.#isCheckFailing) return undefined;
    if (state === 'open') return (this.#breaker.retryAt ?? now) - now;
    return this.#breaker.canProbe(now) ? 0 : undefined;
  }

  /** The router that sent it believed that it could: it is told. */
  #decline(why: Declined): Declined {
    this.#options.onChange();
    return why;
  }

  /**
   * A call that ended without a first token took at least so long. One that its client left says so only when that is
   * long: a hang must show, and a hedge's loser, but not a client that left at once.
   */
  #tookAtLeast(plan: CallPlan, { code }: Ending, ms: Millis, now: Millis): void {
    const isLate = code === 'upstream_timeout' || code === 'deadline_exceeded';
    if (!isLate && code !== 'client_closed_request' && code !== 'hedge_lost') return;
    const known = (plan.isStream ? this.#ttft : this.#total).value(now) ?? (isLate ? 0 : Infinity);
    if (ms > known) this.took(plan, ms, now);
  }

  /** Tells of a change: a state of the breaker, or the beginning of a time without room. Its end needs no word. */
  #note(now: Millis): void {
    const state = this.#breaker?.state(now) ?? 'closed';
    if (state !== this.#state) {
      this.#state = state;
      this.#options.onTransition(state);
      this.#options.onChange();
    }
    if (this.#announcedUntil > now) return;
    const throttledMs = this.#limiter.throttledMs(now);
    if (throttledMs <= 0) return;
    this.#announcedUntil = now + throttledMs;
    this.#options.onChange();
  }
}

interface EndedCall {
  readonly plan: CallPlan;
  readonly permit: Permit | undefined;
  readonly verdict: Verdict;
  readonly ending: Ending;
  readonly startedAt: Millis;
  readonly firstContentAt: Millis | undefined;
  /** To its first content; how fast the client takes the rest says nothing of the deployment. */
  readonly durationMs: Millis;
  readonly usedTokens: number;
}

/** One admitted call. It is ended once or withdrawn once; what comes after is ignored. */
export class Call {
  readonly #guard: Guard;
  readonly #plan: CallPlan;
  readonly #permit: Permit | undefined;
  readonly #startedAt: Millis;
  /** @internal of the silent ones of its guard */
  number = 0;
  #firstContentAt: Millis | undefined;
  #isOver = false;

  constructor(guard: Guard, plan: CallPlan, permit: Permit | undefined, now: Millis) {
    this.#guard = guard;
    this.#plan = plan;
    this.#permit = permit;
    this.#startedAt = now;
  }

  get deployment(): string {
    return this.#guard.deployment;
  }

  get tokens(): number {
    return this.#plan.tokens;
  }

  /** @internal */
  get plan(): CallPlan {
    return this.#plan;
  }

  get startedAt(): Millis {
    return this.#startedAt;
  }

  /** The provider was not called. */
  withdraw(now: Millis): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#guard.isSilentNoMore(this, false, now);
    this.#guard.withdrawn(this.#plan, this.#permit, now);
  }

  /** An answer's headers came, of whatever status. */
  answered(limits: ReadRateLimits, now: Millis): void {
    if (!this.#isOver) this.#guard.learn(limits, now);
  }

  /** The first token of a stream, or the whole plain answer. */
  began(now: Millis): void {
    if (this.#isOver || this.#firstContentAt !== undefined) return;
    this.#firstContentAt = now;
    this.#guard.isSilentNoMore(this, true, now);
    this.#guard.took(this.#plan, now - this.#startedAt, now);
  }

  /** What its end says, and for how long nothing may be sent now. undefined when it had ended before. */
  ended(
    ending: Ending,
    usedTokens: number,
    now: Millis,
  ): { verdict: Verdict; blockedMs: Millis | undefined } | undefined {
    if (this.#isOver) return undefined;
    this.#isOver = true;
    const verdict = verdictOf(ending);
    this.#guard.isSilentNoMore(this, verdict.health === 'success', now);
    const blockedMs = this.#guard.ended(
      {
        plan: this.#plan,
        permit: this.#permit,
        verdict,
        ending,
        startedAt: this.#startedAt,
        firstContentAt: this.#firstContentAt,
        durationMs: (this.#firstContentAt ?? now) - this.#startedAt,
        usedTokens,
      },
      now,
    );
    return { verdict, blockedMs };
  }
}

/**
 * What has been under way for longer than the average says will show it once it ends; a hang would only then. So it is
 * told now, while the average decays.
 */
function atLeast(averageMs: number | undefined, silent: ChurnMap<Call>, now: Millis): number | undefined {
  const oldest = silent.first();
  if (oldest === undefined || averageMs === undefined) return averageMs;
  return Math.max(averageMs, now - oldest.startedAt);
}

function partOf(room: Room | undefined, routers: number): Room | undefined {
  const parts = Math.max(1, routers);
  return room && { room: room.room / parts, perMinute: room.perMinute / parts };
}

/** Whole calls, for there may be fewer than routers; what is left over goes to others in each turn. */
function shareOut(calls: number, routers: readonly string[], turn: number): Record<string, number> {
  const { length } = routers;
  const shares = routers.map((router, at): [string, number] => {
    const place = (at + turn) % length;
    return [router, Math.floor((calls + length - 1 - place) / length)];
  });
  return Object.fromEntries(shares);
}

/** Three digits are enough for whoever reads it. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
