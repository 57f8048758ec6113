import type { Millis } from './clock.ts';
import { SlidingSum } from './sliding-sum.ts';

const TTL_SECONDS = 10;

export interface RetryBudgetConfig {
  /** Retries that each request pays for: 0.2 is one retry for five requests. */
  readonly ratio: number;
  /** Retries per second that nobody has to pay for, so that little traffic may retry as well. */
  readonly minPerSecond: number;
}

/**
 * Retry budget after Finagle's RetryBudget: a token bucket that requests fill and retries empty, so that retries stay a share
 * of the traffic and cannot turn an overload into a storm. Deposits and withdrawals are forgotten after 10 s, in steps of
 * one: within that window, retries ≤ `minPerSecond` × 10 + `ratio` × requests.
 */
export class RetryBudget {
  readonly #config: RetryBudgetConfig;
  readonly #requests = new SlidingSum(TTL_SECONDS * 1_000, TTL_SECONDS);
  readonly #retries = new SlidingSum(TTL_SECONDS * 1_000, TTL_SECONDS);

  constructor(config: RetryBudgetConfig) {
    this.#config = config;
  }

  /** A request came: for the first time, not as a retry. */
  deposit(now: Millis): void {
    this.#requests.add(1, now);
  }

  /** Whether a retry may be made; if so, it is paid for. */
  tryWithdraw(now: Millis): boolean {
    if (this.balance(now) < 1) return false;
    this.#retries.add(1, now);
    return true;
  }

  /** Retries that could be made now, with a fraction; below 0 when the requests that paid are older than the retries. */
  balance(now: Millis): number {
    const { ratio, minPerSecond } = this.#config;
    return minPerSecond * TTL_SECONDS + ratio * this.#requests.sum(now) - this.#retries.sum(now);
  }
}
