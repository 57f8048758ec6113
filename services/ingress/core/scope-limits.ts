import { ChurnMap } from '../../../shared/churn-map.ts';
import type { Millis } from '../../../shared/clock.ts';
import { arrivalAfter, fitsAt } from '../../../shared/gcra.ts';
import { LimitAccounts } from './limit-accounts.ts';
import { NONE } from './limit-rows.ts';
import type { ActualUse, ApplicableLimit, LimitAsk, LimitDimension, Refused, Taken } from './limit-terms.ts';
import { CONCURRENT_WAIT_MS, NO_STANDING, unitsOf } from './limit-terms.ts';
import { Tightest } from './tightest.ts';

/** Some 300 MB, if a million users and their keys all use their limits within the same minute. */
const MAX_SUBJECTS = 2_000_000;

/**
 * The limits of all scopes, as one ingress counts them: GCRA for requests, tokens and money, and the number of requests under
 * way. A request takes of all limits that hold for it, or of none. `limit-scripts.ts` is the same for Redis; the same cases
 * drive both (`test/conformance/scope-limits.test.ts`).
 */
export class ScopeLimits {
  readonly #accounts: LimitAccounts;
  /** Of each request under way, the rows that count it. */
  readonly #underWay = new ChurnMap<readonly number[]>();
  /** Rows of the request at hand, by the place of their limit. */
  readonly #found: number[] = [];

  constructor(maxSubjects = MAX_SUBJECTS) {
    this.#accounts = new LimitAccounts(maxSubjects);
  }

  /** Subjects that are remembered, one with limits of several rates as often. */
  get size(): number {
    return this.#accounts.rows.size;
  }

  take(ask: LimitAsk, now: Millis): Taken | Refused {
    if (ask.limits.length === 0) return { kind: 'taken', ask, standing: NO_STANDING, isShared: false, underWay: 0 };
    return this.#refusal(ask, now) ?? this.#charge(ask, now);
  }

  /** The request is over, and used so much. */
  end(taken: Taken, actual: ActualUse, now: Millis): void {
    const { ask } = taken;
    this.#move(ask, now, [0, actual.tokens - ask.tokens, actual.costNanoUsd - ask.costNanoUsd]);
    this.#release(taken);
  }

  /** The request is not served after all: nothing of it counts. */
  giveBack(taken: Taken, now: Millis): void {
    const { ask } = taken;
    this.#move(ask, now, [-1, -ask.tokens, -ask.costNanoUsd]);
    this.#release(taken);
  }

  /** Changes nothing. Whom nobody knows has taken nothing, and is refused nothing. */
  #refusal(ask: LimitAsk, now: Millis): Refused | undefined {
    const { rows } = this.#accounts;
    const { limits } = ask;
    let refusedBy: ApplicableLimit | undefined;
    let dimension: LimitDimension = 'requests';
    let waitMs = 0;
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as ApplicableLimit;
      const { rates } = limit;
      const row = this.#accounts.find(limit.subject, rates);
      this.#found[i] = row;
      if (row === NONE) continue;
      for (const { dimension: of, column, emissionIntervalMs, burst } of rates.list) {
        const wait = fitsAt(rows.arrival(row, column), emissionIntervalMs, burst, unitsOf(ask, of)) - now;
        if (wait > waitMs) [refusedBy, dimension, waitMs] = [limit, of, wait];
      }
    }
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as ApplicableLimit;
      const row = this.#found[i] as number;
      const { concurrent } = limit.terms;
      if (concurrent === undefined || row === NONE || CONCURRENT_WAIT_MS <= waitMs) continue;
      if (rows.underWay(row) >= concurrent) [refusedBy, dimension, waitMs] = [limit, 'concurrent', CONCURRENT_WAIT_MS];
    }
    if (refusedBy === undefined) return undefined;
    return { kind: 'refused', limit: refusedBy, dimension, waitMs, standing: this.#standingOf(limits, now) };
  }

  /** By the rows that `#refusal` found. */
  #charge(ask: LimitAsk, now: Millis): Taken {
    const { rows } = this.#accounts;
    const { limits } = ask;
    const tightest = new Tightest();
    let counted: number[] | undefined;
    for (let i = 0; i < limits.length; i++) {
      const { subject, terms, rates } = limits[i] as ApplicableLimit;
      if (this.#found[i] === NONE) this.#found[i] = this.#accounts.open(subject, rates);
      const row = this.#found[i] as number;
      const isCharged = this.#isAmongFirst(row, i);
      for (const rate of rates.list) {
        const { dimension, column, emissionIntervalMs } = rate;
        let arrival = rows.arrival(row, column);
        if (!isCharged) {
          arrival = arrivalAfter(arrival, emissionIntervalMs, unitsOf(ask, dimension), now);
          rows.setArrival(row, column, arrival);
        }
        tightest.see(rate, arrival - now);
      }
      if (terms.concurrent === undefined || (isCharged && counted?.includes(row) === true)) continue;
      (counted ??= []).push(row);
      rows.addUnderWay(row, 1);
    }
    const underWay = counted === undefined ? 0 : this.#underWay.add(counted);
    this.#accounts.tidy(now);
    return { kind: 'taken', ask, standing: tightest.standing(), isShared: false, underWay };
  }

  /** Two limits of one subject may have the same rates: it is charged once. */
  #isAmongFirst(row: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#found[i] === row) return true;
    return false;
  }

  #release({ underWay }: Taken): void {
    const counted = this.#underWay.get(underWay);
    if (counted === undefined) return;
    this.#underWay.delete(underWay);
    for (const row of counted) this.#accounts.rows.addUnderWay(row, -1);
  }

  #standingOf(limits: readonly ApplicableLimit[], now: Millis): Refused['standing'] {
    const tightest = new Tightest();
    for (let i = 0; i < limits.length; i++) {
      const row = this.#found[i] as number;
      for (const rate of (limits[i] as ApplicableLimit).rates.list)
        tightest.see(rate, row === NONE ? 0 : this.#accounts.rows.arrival(row, rate.column) - now);
    }
    return tightest.standing();
  }

  /** @param units by column: taken more; below zero: given back */
  #move({ limits }: LimitAsk, now: Millis, units: readonly [requests: number, tokens: number, cost: number]): void {
    const { rows } = this.#accounts;
    for (let i = 0; i < limits.length; i++) {
      const { subject, rates } = limits[i] as ApplicableLimit;
      let row = this.#accounts.find(subject, rates);
      // Who was forgotten is full: there is nothing to give back to, and more is taken from a new row.
      const isMore = row === NONE && rates.list.some(({ column }) => (units[column] as number) > 0);
      if (isMore) row = this.#accounts.open(subject, rates);
      this.#found[i] = row;
      if (row === NONE || this.#isAmongFirst(row, i)) continue;
      for (const { column, emissionIntervalMs } of rates.list) {
        const arrival = arrivalAfter(rows.arrival(row, column), emissionIntervalMs, units[column] as number, now);
        rows.setArrival(row, column, arrival);
      }
    }
    this.#accounts.tidy(now);
  }
}
