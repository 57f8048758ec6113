import type { Millis } from '../../../shared/clock.ts';
import type { LimitTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';

const MINUTE_MS = 60_000;

export type RateDimension = 'requests' | 'tokens' | 'cost';
export type LimitDimension = RateDimension | 'concurrent';

/** One rate of a limit, as a bucket (shared/gcra.ts). Units are requests, tokens or nano-dollars. */
export interface Rate {
  readonly dimension: RateDimension;
  /** Its place among the three dimensions. */
  readonly column: number;
  readonly perMinute: number;
  readonly emissionIntervalMs: Millis;
  readonly burst: number;
}

/**
 * The rates of a limit. Limits of one subject with the same emission intervals are counted as one, whatever their bursts and
 * whoever set them; one whose rates change is counted anew.
 */
export interface Rates {
  /** In the order of their columns. */
  readonly list: readonly Rate[];
  /** By column; 0: no such rate. */
  readonly intervals: readonly [requests: Millis, tokens: Millis, cost: Millis];
  /** The same as text. */
  readonly name: string;
}

/** A limit that holds for a request. */
export interface ApplicableLimit {
  /** As its rule names it: the subject itself, or a pattern that it falls under. */
  readonly scope: ScopeName;
  /** Whose counters: never a pattern. */
  readonly subject: ScopeName;
  readonly terms: LimitTerms;
  /** Of its terms: read by every request, and made once. */
  readonly rates: Rates;
}

export function limitOf(scope: ScopeName, subject: ScopeName, terms: LimitTerms): ApplicableLimit {
  return { scope, subject, terms, rates: ratesOf(terms) };
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
  /** By which `ScopeLimits` finds again what counts it as under way; 0: nothing does. */
  readonly underWay: number;
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

const RATES = new WeakMap<LimitTerms, Rates>();

/** Made once for each. */
export function ratesOf(terms: LimitTerms): Rates {
  const known = RATES.get(terms);
  if (known !== undefined) return known;
  const { requestsPerMinute = 0, tokensPerMinute = 0, cost = { nanoUsd: 0, perMs: 0 }, burst } = terms;
  const all = [
    rateOf('requests', 0, MINUTE_MS / requestsPerMinute, burst ?? requestsPerMinute),
    rateOf('tokens', 1, MINUTE_MS / tokensPerMinute, tokensPerMinute),
    rateOf('cost', 2, cost.perMs / cost.nanoUsd, cost.nanoUsd),
  ] as const;
  const intervalOf = ({ emissionIntervalMs }: Rate): Millis =>
    Number.isFinite(emissionIntervalMs) ? emissionIntervalMs : 0;
  const intervals = [intervalOf(all[0]), intervalOf(all[1]), intervalOf(all[2])] as const;
  const list = all.filter(({ column }) => (intervals[column] ?? 0) > 0);
  const rates = { list, intervals, name: intervals.join('/') };
  RATES.set(terms, rates);
  return rates;
}

function rateOf(dimension: RateDimension, column: number, emissionIntervalMs: Millis, burst: number): Rate {
  return { dimension, column, perMinute: MINUTE_MS / emissionIntervalMs, emissionIntervalMs, burst };
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
