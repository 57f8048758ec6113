import type { Millis } from '../../../shared/clock.ts';
import type { LimitTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';

const MINUTE_MS = 60_000;

export type RateDimension = 'requests' | 'tokens' | 'cost';
export type LimitDimension = RateDimension | 'concurrent';

/** One rate of a limit, as a bucket (shared/gcra.ts). Units are requests, tokens or nano-dollars. */
export interface Rate {
  readonly dimension: RateDimension;
  /**
   * Which of its subject's counters: those of the same dimension and rate are one, whatever the bursts and whoever set the
   * limits. A limit whose rate changes is another counter, and starts anew.
   */
  readonly counter: string;
  readonly perMinute: number;
  readonly emissionIntervalMs: Millis;
  readonly burst: number;
}

/** A limit that holds for a request. */
export interface ApplicableLimit {
  /** As its rule names it: the subject itself, or a pattern that it falls under. */
  readonly scope: ScopeName;
  /** Whose counters: never a pattern. */
  readonly subject: ScopeName;
  readonly terms: LimitTerms;
}

/** What a request would take of its limits. */
export interface LimitAsk {
  readonly limits: readonly ApplicableLimit[];
  /** Estimated, and corrected by what was used. */
  readonly tokens: number;
  readonly costNanoUsd: number;
  readonly requestId: string;
}

/** What a limit has left, as headers tell it. */
export interface Room {
  readonly perMinute: number;
  /** Whole units, from 0 to `perMinute`. */
  readonly remaining: number;
  /** Until nothing is used of it. */
  readonly resetMs: Millis;
}

/** Of the limits that hold for a request, the one that is nearest to its end, for each of these. undefined: no such limit. */
export interface Standing {
  readonly requests: Room | undefined;
  readonly tokens: Room | undefined;
}

export const NO_STANDING: Standing = { requests: undefined, tokens: undefined };

/** All of a request's limits had room, and have been charged. */
export interface Taken {
  readonly kind: 'taken';
  readonly ask: LimitAsk;
  /** After it. */
  readonly standing: Standing;
  /** Taken for all ingresses together; false: for this one alone. */
  readonly isShared: boolean;
}

/** Some limit had no room; nothing was taken of any. Of several the one that takes longest. */
export interface Refused {
  readonly kind: 'refused';
  readonly limit: ApplicableLimit;
  readonly dimension: LimitDimension;
  /** How long until the same request would fit, if no other came. */
  readonly waitMs: Millis;
  readonly standing: Standing;
}

/** What a request has used of tokens and money. */
export interface ActualUse {
  readonly tokens: number;
  readonly costNanoUsd: number;
}

/** When one of the requests under way will end is not known: who is refused for their number is told to wait this long. */
export const CONCURRENT_WAIT_MS = 1_000;

const RATES = new WeakMap<LimitTerms, readonly Rate[]>();

/** The rates of a limit, in the order in which they are looked at; made once for each. */
export function ratesOf(terms: LimitTerms): readonly Rate[] {
  const known = RATES.get(terms);
  if (known !== undefined) return known;
  const { requestsPerMinute, tokensPerMinute, cost, burst } = terms;
  const rates: Rate[] = [];
  if (requestsPerMinute !== undefined)
    rates.push(rateOf('requests', MINUTE_MS / requestsPerMinute, burst ?? requestsPerMinute));
  if (tokensPerMinute !== undefined) rates.push(rateOf('tokens', MINUTE_MS / tokensPerMinute, tokensPerMinute));
  if (cost !== undefined) rates.push(rateOf('cost', cost.perMs / cost.nanoUsd, cost.nanoUsd));
  RATES.set(terms, rates);
  return rates;
}

function rateOf(dimension: RateDimension, emissionIntervalMs: Millis, burst: number): Rate {
  const perMinute = MINUTE_MS / emissionIntervalMs;
  return { dimension, counter: `${dimension}/${emissionIntervalMs}`, perMinute, emissionIntervalMs, burst };
}

/** What one request takes of a rate. */
export function unitsOf({ tokens, costNanoUsd }: ActualUse, dimension: RateDimension): number {
  if (dimension === 'requests') return 1;
  return dimension === 'tokens' ? tokens : costNanoUsd;
}

/** What it used beyond what it took; below zero when it took too much. A request stays one. */
export function unitsBeyond(ask: ActualUse, actual: ActualUse, dimension: RateDimension): number {
  return unitsOf(actual, dimension) - unitsOf(ask, dimension);
}
