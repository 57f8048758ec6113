import type { Millis } from '../../../shared/clock.ts';
import type { RedisPresence } from '../../../shared/redis-presence.ts';
import { redisScript } from '../../../shared/redis.ts';
import type { LimitPlan, ScriptCall } from '../core/limit-scripts.ts';
import { limitScripts, planOf, settleCall, takeCall } from '../core/limit-scripts.ts';
import type { ActualUse, ApplicableLimit, LimitAsk, Rate, Refused, Standing, Taken } from '../core/limit-terms.ts';
import { CONCURRENT_WAIT_MS, unitsBeyond, unitsOf } from '../core/limit-terms.ts';
import type { ScopeLimits } from '../core/scope-limits.ts';
import { Tightest } from '../core/tightest.ts';

const WAITS = {
  /** After an ingress died its requests count for this long; three renewals may be lost before. */
  holdMs: 6_000,
  renewMs: 1_500,
};
/** Requests in one renewal: Redis does nothing else meanwhile, for some 0.2 ms. */
const MAX_RENEWED = 500;

export interface SharedScopeLimitsDeps {
  readonly redis: Pick<RedisPresence, 'isAway' | 'run'>;
  /** What this ingress counts by itself. */
  readonly here: ScopeLimits;
  readonly onDegraded: () => void;
  readonly waits?: typeof WAITS;
  /** The three scripts; a test's have a clock of their own. */
  readonly scripts?: ReturnType<typeof limitScripts>;
}

/**
 * Limits that hold for all ingresses together, kept in Redis. Each ingress counts its own requests besides: what is beyond a
 * limit already here, Redis is not asked about, and while Redis is away its own account decides alone, at the whole
 * limit. A Redis that has lost everything starts anew; requests under way come back with their next renewal.
 */
export class SharedScopeLimits {
  readonly #deps: SharedScopeLimitsDeps;
  readonly #waits: typeof WAITS;
  readonly #scripts;
  /** Requests under way by the set that counts them; as many as this ingress has. */
  readonly #underWay = new Map<string, Set<string>>();
  readonly #renewal: NodeJS.Timeout;

  constructor(deps: SharedScopeLimitsDeps) {
    this.#deps = deps;
    this.#waits = deps.waits ?? WAITS;
    const { take, settle, renew } = deps.scripts ?? limitScripts();
    this.#scripts = { take: redisScript(take), settle: redisScript(settle), renew: redisScript(renew) };
    this.#renewal = setInterval(() => this.#renew(), this.#waits.renewMs);
  }

  take(ask: LimitAsk, now: Millis): Taken | Refused | Promise<Taken | Refused> {
    const { here, redis, onDegraded } = this.#deps;
    const taken = here.take(ask, now);
    if (taken.kind === 'refused' || ask.limits.length === 0) return taken;
    if (!redis.isAway) return this.#takeShared(taken, now);
    onDegraded();
    return taken;
  }

  end(taken: Taken, actual: ActualUse, now: Millis): void {
    this.#deps.here.end(taken, actual, now);
    this.#settle(taken, ({ dimension }) => unitsBeyond(taken.ask, actual, dimension));
  }

  giveBack(taken: Taken, now: Millis): void {
    this.#deps.here.giveBack(taken, now);
    this.#settle(taken, ({ dimension }) => -unitsOf(taken.ask, dimension));
  }

  stop(): void {
    clearInterval(this.#renewal);
  }

  async #takeShared(taken: Taken, now: Millis): Promise<Taken | Refused> {
    const { here, onDegraded } = this.#deps;
    const { ask } = taken;
    const plan = planOf(ask.limits);
    const { holdMs } = this.#waits;
    const answer = await this.#run('take', takeCall(ask, plan, { holdMs, concurrentWaitMs: CONCURRENT_WAIT_MS }));
    if (!isNumbers(answer)) {
      onDegraded();
      return taken;
    }
    const [refusedBy = 0, waitUs = 0, ...fullInUs] = answer;
    const standing = standingOf(plan, fullInUs);
    if (refusedBy === 0) {
      this.#note(plan, ask.requestId);
      return { ...taken, standing, isShared: true };
    }
    here.giveBack(taken, now);
    return refusalOf(plan, refusedBy, waitUs / 1_000, standing);
  }

  #settle({ ask, isShared }: Taken, unitsOfRate: (rate: Rate) => number): void {
    if (!isShared) return;
    const plan = planOf(ask.limits);
    this.#forget(plan, ask.requestId);
    const call = settleCall(plan, unitsOfRate, ask.requestId);
    if (call !== undefined) void this.#run('settle', call);
  }

  #run(script: 'take' | 'settle' | 'renew', { keys, args }: ScriptCall): Promise<unknown> {
    return this.#deps.redis.run(this.#scripts[script], keys, args);
  }

  #note({ setKeys }: LimitPlan, requestId: string): void {
    for (const key of setKeys) {
      const requests = this.#underWay.get(key);
      if (requests === undefined) this.#underWay.set(key, new Set([requestId]));
      else requests.add(requestId);
    }
  }

  #forget({ setKeys }: LimitPlan, requestId: string): void {
    for (const key of setKeys) {
      const requests = this.#underWay.get(key);
      if (requests?.delete(requestId) === true && requests.size === 0) this.#underWay.delete(key);
    }
  }

  #renew(): void {
    for (const [key, requests] of this.#underWay) {
      const all = [...requests];
      for (let from = 0; from < all.length; from += MAX_RENEWED) {
        const args = [this.#waits.holdMs, ...all.slice(from, from + MAX_RENEWED)];
        void this.#run('renew', { keys: [key], args });
      }
    }
  }
}

function isNumbers(answer: unknown): answer is number[] {
  return Array.isArray(answer) && answer.every((value) => typeof value === 'number');
}

function standingOf({ counters }: LimitPlan, fullInUs: readonly number[]): Standing {
  const tightest = new Tightest();
  for (const [i, { rate }] of counters.entries()) tightest.see(rate, (fullInUs[i] ?? 0) / 1_000);
  return tightest.standing();
}

/** @param refusedBy counts from 1, sets after counters */
function refusalOf({ counters, sets }: LimitPlan, refusedBy: number, waitMs: Millis, standing: Standing): Refused {
  const counter = counters[refusedBy - 1];
  if (counter !== undefined)
    return { kind: 'refused', limit: counter.limit, dimension: counter.rate.dimension, waitMs, standing };
  const limit = sets[refusedBy - 1 - counters.length] as ApplicableLimit;
  return { kind: 'refused', limit, dimension: 'concurrent', waitMs, standing };
}
