import type { Millis } from '../../../shared/clock.ts';
import { arrivalAfter, fitsAt } from '../../../shared/gcra.ts';
import type { LimitAccount } from './limit-accounts.ts';
import { LimitAccounts } from './limit-accounts.ts';
import type { ActualUse, ApplicableLimit, LimitAsk, LimitDimension, Rate, Refused, Taken } from './limit-terms.ts';
import { CONCURRENT_WAIT_MS, NO_STANDING, ratesOf, unitsBeyond, unitsOf } from './limit-terms.ts';
import { Tightest } from './tightest.ts';

/** Some 250 MB, if a million users, keys, … all use their limits within the same minute. */
const MAX_SUBJECTS = 1_000_000;

/**
 * The limits of all scopes, as one ingress counts them: GCRA for requests, tokens and money, and the number of requests under
 * way. A request takes of all limits that hold for it, or of none. `limit-scripts.ts` is the same for Redis; the same cases
 * drive both (`test/conformance/scope-limits.test.ts`).
 */
export class ScopeLimits {
  readonly #accounts: LimitAccounts;
  /** Request → what counts it. */
  readonly #underWay = new Map<string, readonly LimitAccount[]>();
  /** Those of the request at hand, by the place of their limit. */
  readonly #found: Array<LimitAccount | undefined> = [];
  #requests = 0;

  constructor(maxSubjects = MAX_SUBJECTS) {
    this.#accounts = new LimitAccounts(maxSubjects);
  }

  /** Subjects that are remembered. */
  get size(): number {
    return this.#accounts.size;
  }

  take(ask: LimitAsk, now: Millis): Taken | Refused {
    if (ask.limits.length === 0) return { kind: 'taken', ask, standing: NO_STANDING, isShared: false };
    return this.#refusal(ask, now) ?? this.#charge(ask, now);
  }

  /** The request is over, and used so much. */
  end(taken: Taken, actual: ActualUse, now: Millis): void {
    this.#move(taken.ask, now, ({ dimension }) => unitsBeyond(taken.ask, actual, dimension));
    this.#release(taken.ask.requestId);
  }

  /** The request is not served after all: nothing of it counts. */
  giveBack(taken: Taken, now: Millis): void {
    this.#move(taken.ask, now, ({ dimension }) => -unitsOf(taken.ask, dimension));
    this.#release(taken.ask.requestId);
  }

  /** Changes nothing. Whom nobody knows has taken nothing, and is refused nothing. */
  #refusal(ask: LimitAsk, now: Millis): Refused | undefined {
    const { limits } = ask;
    let refusedBy: ApplicableLimit | undefined;
    let dimension: LimitDimension = 'requests';
    let waitMs = 0;
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as ApplicableLimit;
      const account = this.#accounts.get(limit.subject);
      this.#found[i] = account;
      if (account === undefined) continue;
      for (const rate of ratesOf(limit.terms)) {
        const counter = account.counter(rate.counter);
        if (counter === undefined) continue;
        const { emissionIntervalMs, burst } = rate;
        const wait = fitsAt(counter.arrival, emissionIntervalMs, burst, unitsOf(ask, rate.dimension)) - now;
        if (wait > waitMs) [refusedBy, dimension, waitMs] = [limit, rate.dimension, wait];
      }
    }
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as ApplicableLimit;
      const { concurrent = Infinity } = limit.terms;
      if ((this.#found[i]?.underWay ?? 0) >= concurrent && CONCURRENT_WAIT_MS > waitMs)
        [refusedBy, dimension, waitMs] = [limit, 'concurrent', CONCURRENT_WAIT_MS];
    }
    if (refusedBy === undefined) return undefined;
    return { kind: 'refused', limit: refusedBy, dimension, waitMs, standing: this.#standingOf(limits, now) };
  }

  /** By the accounts that `#refusal` found. */
  #charge(ask: LimitAsk, now: Millis): Taken {
    const { limits, requestId } = ask;
    const request = ++this.#requests;
    const tightest = new Tightest();
    let counted: LimitAccount[] | undefined;
    for (let i = 0; i < limits.length; i++) {
      const { subject, terms } = limits[i] as ApplicableLimit;
      const account = this.#found[i] ?? this.#accounts.open(subject);
      for (const rate of ratesOf(terms)) {
        const counter = account.openCounter(rate.counter);
        if (counter.chargedBy !== request) {
          counter.chargedBy = request;
          const units = unitsOf(ask, rate.dimension);
          counter.arrival = arrivalAfter(counter.arrival, rate.emissionIntervalMs, units, now);
        }
        tightest.see(rate, counter.arrival - now);
      }
      if (terms.concurrent !== undefined && counted?.includes(account) !== true) {
        (counted ??= []).push(account);
        account.underWay++;
      }
    }
    if (counted !== undefined) this.#underWay.set(requestId, counted);
    this.#accounts.tidy(now);
    return { kind: 'taken', ask, standing: tightest.standing(), isShared: false };
  }

  #release(requestId: string): void {
    const counted = this.#underWay.get(requestId);
    if (counted === undefined) return;
    this.#underWay.delete(requestId);
    for (const account of counted) account.underWay--;
  }

  #standingOf(limits: readonly ApplicableLimit[], now: Millis): Refused['standing'] {
    const tightest = new Tightest();
    for (let i = 0; i < limits.length; i++) {
      for (const rate of ratesOf((limits[i] as ApplicableLimit).terms))
        tightest.see(rate, (this.#found[i]?.counter(rate.counter)?.arrival ?? now) - now);
    }
    return tightest.standing();
  }

  #move({ limits }: LimitAsk, now: Millis, unitsOfRate: (rate: Rate) => number): void {
    const request = ++this.#requests;
    for (const { subject, terms } of limits) {
      for (const rate of ratesOf(terms)) {
        const units = unitsOfRate(rate);
        if (units === 0) continue;
        // Who was forgotten is full: there is nothing to give back to.
        const account = units > 0 ? this.#accounts.open(subject) : this.#accounts.get(subject);
        const counter = units > 0 ? account?.openCounter(rate.counter) : account?.counter(rate.counter);
        if (counter === undefined || counter.chargedBy === request) continue;
        counter.chargedBy = request;
        counter.arrival = arrivalAfter(counter.arrival, rate.emissionIntervalMs, units, now);
      }
    }
    this.#accounts.tidy(now);
  }
}
