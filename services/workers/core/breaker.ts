import type { Millis } from '../../../shared/clock.ts';
import type { BreakerConfig } from '../../../shared/config.ts';
import { SlidingSum } from '../../../shared/sliding-sum.ts';

/** Probes that have to succeed, one after the other, before all traffic comes back: one could be luck. */
const HALF_OPEN_SUCCESSES = 2;
/** A probe that has not reported by then never will: the next one may start. */
const PROBE_LOST_MS = 60_000;
/** The time open doubles at most so often, to 8 × `openForMs`: who waits for minutes more stands idle beside a provider that is back. */
const MAX_DOUBLINGS = 3;
/** Workers that saw one outage come back at different times. */
const JITTER = 0.1;
const WINDOW_BUCKETS = 10;

export type BreakerState = 'closed' | 'open' | 'half_open';

/** Admission of one call. It belongs to the state that granted it, and as a probe to that probe. */
export interface Permit {
  readonly epoch: number;
}

type State =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly until: Millis }
  | { readonly kind: 'half_open'; readonly successes: number; readonly probeLostAt: Millis | undefined };

/**
 * Circuit breaker of one deployment (Nygard, "Release It!"): closed = traffic flows, open = none, half-open = one probe
 * at a time. It opens as resilience4j's time-based one does (share of failures, share of slow calls) and as Envoy's outlier
 * detection (failures in a row, and a longer time with each ejection).
 *
 * Each permit is reported once, by `succeeded`, `failed` or `released`. A report on a permit of an earlier epoch is ignored:
 * it tells of the past, and the probe that is under way is not its own.
 */
export class Breaker {
  readonly #config: BreakerConfig;
  readonly #random: () => number;
  readonly #calls: SlidingSum;
  readonly #failures: SlidingSum;
  readonly #slowCalls: SlidingSum;
  #consecutiveFailures = 0;
  /** Openings since it was last closed. */
  #openings = 0;
  #state: State = { kind: 'closed' };
  #permit: Permit = { epoch: 0 };

  /** @param random uniform in [0, 1) */
  constructor(config: BreakerConfig, random: () => number) {
    this.#config = config;
    this.#random = random;
    this.#calls = new SlidingSum(config.windowMs, WINDOW_BUCKETS);
    this.#failures = new SlidingSum(config.windowMs, WINDOW_BUCKETS);
    this.#slowCalls = new SlidingSum(config.windowMs, WINDOW_BUCKETS);
  }

  /** undefined: no call now. */
  admit(now: Millis): Permit | undefined {
    if (this.#state.kind === 'closed') return this.#permit;
    if (!this.canProbe(now)) return undefined;
    const successes = this.#state.kind === 'half_open' ? this.#state.successes : 0;
    return this.#enter({ kind: 'half_open', successes, probeLostAt: now + PROBE_LOST_MS });
  }

  /** @param durationMs of a stream: to its first token */
  succeeded(permit: Permit, now: Millis, durationMs: number): void {
    if (permit.epoch !== this.#permit.epoch) return;
    const { slowCallMs, slowRatio } = this.#config;
    const isSlow = slowCallMs !== undefined && durationMs > slowCallMs;
    if (this.#state.kind === 'half_open') {
      // One slow probe is a share of 1: what opened it would open it again.
      if (isSlow && slowRatio < 1) this.#open(now);
      else this.#probeSucceeded(this.#state.successes + 1);
      return;
    }
    this.#consecutiveFailures = 0;
    this.#calls.add(1, now);
    if (isSlow) this.#slowCalls.add(1, now);
    this.#judge(now);
  }

  failed(permit: Permit, now: Millis): void {
    if (permit.epoch !== this.#permit.epoch) return;
    if (this.#state.kind === 'half_open') {
      this.#open(now);
      return;
    }
    this.#consecutiveFailures++;
    this.#calls.add(1, now);
    this.#failures.add(1, now);
    this.#judge(now);
  }

  /** The call ended and said nothing about the deployment: its client left or was wrong, or a 429 came. */
  released(permit: Permit): void {
    if (permit.epoch !== this.#permit.epoch || this.#state.kind !== 'half_open') return;
    this.#enter({ ...this.#state, probeLostAt: undefined });
  }

  /** half_open from the moment that a probe may begin, whether or not a call has come to be it. */
  state(now: Millis): BreakerState {
    const state = this.#state;
    return state.kind === 'open' && now >= state.until ? 'half_open' : state.kind;
  }

  /** Whether the next call would be admitted as a probe. */
  canProbe(now: Millis): boolean {
    const state = this.#state;
    switch (state.kind) {
      case 'closed':
        return false;
      case 'open':
        return now >= state.until;
      case 'half_open':
        return state.probeLostAt === undefined || now >= state.probeLostAt;
    }
  }

  /** When open: when the first probe may begin; it has passed while no call has come to be it. */
  get retryAt(): Millis | undefined {
    return this.#state.kind === 'open' ? this.#state.until : undefined;
  }

  /** Within the window, probes left out; 0 for no calls. */
  failureRatio(now: Millis): number {
    const calls = this.#calls.sum(now);
    return calls === 0 ? 0 : this.#failures.sum(now) / calls;
  }

  #judge(now: Millis): void {
    const { consecutiveFailures, minRequests, failureRatio, slowRatio } = this.#config;
    if (this.#consecutiveFailures >= consecutiveFailures) {
      this.#open(now);
      return;
    }
    const calls = this.#calls.sum(now);
    if (calls < minRequests) return;
    const isFailing = this.#failures.sum(now) / calls > failureRatio;
    if (isFailing || this.#slowCalls.sum(now) / calls > slowRatio) this.#open(now);
  }

  #probeSucceeded(successes: number): void {
    if (successes < HALF_OPEN_SUCCESSES) {
      this.#enter({ kind: 'half_open', successes, probeLostAt: undefined });
      return;
    }
    this.#openings = 0;
    this.#consecutiveFailures = 0;
    this.#calls.clear();
    this.#failures.clear();
    this.#slowCalls.clear();
    this.#enter({ kind: 'closed' });
  }

  #open(now: Millis): void {
    const wholeMs = this.#config.openForMs * 2 ** Math.min(this.#openings, MAX_DOUBLINGS);
    this.#openings++;
    this.#enter({ kind: 'open', until: now + wholeMs * (1 - JITTER + 2 * JITTER * this.#random()) });
  }

  #enter(state: State): Permit {
    this.#state = state;
    this.#permit = { epoch: this.#permit.epoch + 1 };
    return this.#permit;
  }
}
