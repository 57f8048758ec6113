import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { CubeName, Group } from './cubes.ts';
import { CUBES, GROUP_COLUMNS, groupAt, placesOf, rankedKey, RANKED_USERS } from './cubes.ts';
import { bucketColumns, bucketOf } from './histogram.ts';
import type { Span } from './report-plan.ts';
import { ceilTo, floorTo, FOUR_DAYS_MS } from './report-plan.ts';

const HOUR_MS = 3_600_000;

/** Sums that both rollup tables hold, besides the cost and the histograms. Times are sums of milliseconds. */
export const COUNTERS = [
  'attempts',
  'cache_hits',
  'estimated',
  'unknown_price',
  'input_tokens',
  'cached_input_tokens',
  'output_tokens',
  'reasoning_tokens',
  'queue_ms',
  'ttft_ms',
  'duration_ms',
] as const;
export type Counter = (typeof COUNTERS)[number];

const TTFT = bucketColumns('ttft');
/** null in a row: nobody was in that bucket; most are empty, and null takes no room. */
export const BUCKETS: readonly string[] = [...TTFT, ...bucketColumns('duration')];

const NOBODY = BUCKETS.map(() => 0);

/** What events add to one group in one hour. */
export interface Delta {
  readonly cube: CubeName;
  readonly group: Group;
  /** Of the group, as `Place.key`: in every hour the same. */
  readonly key: string;
  readonly hourMs: number;
  readonly counters: Readonly<Record<Counter, number>>;
  /** As `BUCKETS`. */
  readonly buckets: readonly number[];
  /** A sum may be beyond 2^53. */
  readonly costNanoUsd: bigint;
}

/** One attempt's price became known, or another one, after it was recorded. */
export interface Correction {
  readonly event: UsageRecorded;
  readonly amountNanoUsd: bigint;
  /** It had no price before. */
  readonly isFirstPrice: boolean;
}

/** What new events add to the rollups, by cube, group and hour. */
export function rollUp(events: readonly UsageRecorded[]): Delta[] {
  const sums = new Sums();
  for (const event of events) {
    const duration = TTFT.length + bucketOf(event.durationMs);
    const cost = BigInt(event.costNanoUsd ?? 0);
    for (const sum of sums.of(event)) {
      const { counters } = sum;
      counters.attempts++;
      if (event.cacheHit === true) counters.cache_hits++;
      if (event.isEstimated) counters.estimated++;
      if (event.costNanoUsd === null) counters.unknown_price++;
      counters.input_tokens += event.inputTokens;
      counters.cached_input_tokens += event.cachedInputTokens;
      counters.output_tokens += event.outputTokens;
      counters.reasoning_tokens += event.reasoningTokens;
      counters.queue_ms += event.queueMs;
      counters.ttft_ms += event.ttftMs ?? 0;
      counters.duration_ms += event.durationMs;
      if (event.ttftMs !== null) sum.count(bucketOf(event.ttftMs));
      sum.count(duration);
      sum.costNanoUsd += cost;
    }
  }
  return sums.all;
}

/** What corrections add: money alone, where the attempts themselves are counted. */
export function rollUpCorrections(corrections: readonly Correction[]): Delta[] {
  const sums = new Sums();
  for (const { event, amountNanoUsd, isFirstPrice } of corrections) {
    for (const sum of sums.of(event)) {
      if (isFirstPrice) sum.counters.unknown_price--;
      sum.costNanoUsd += amountNanoUsd;
    }
  }
  return sums.all;
}

class Sums {
  readonly all: Sum[] = [];
  readonly #byHour = new Map<number, Map<string, Sum>>();

  of(event: UsageRecorded): Sum[] {
    const hourMs = Math.floor(event.startedEpochMs / HOUR_MS) * HOUR_MS;
    const byKey = this.#byHour.get(hourMs) ?? new Map<string, Sum>();
    this.#byHour.set(hourMs, byKey);
    return placesOf(event).map((place) => {
      let sum = byKey.get(place.key);
      if (sum === undefined) {
        sum = new Sum(place.cube, groupAt(event, place), place.key, hourMs);
        byKey.set(place.key, sum);
        this.all.push(sum);
      }
      return sum;
    });
  }
}

class Sum implements Delta {
  readonly cube: CubeName;
  readonly group: Group;
  readonly key: string;
  readonly hourMs: number;
  readonly buckets = NOBODY.slice();
  readonly counters: Record<Counter, number> = {
    attempts: 0,
    cache_hits: 0,
    estimated: 0,
    unknown_price: 0,
    input_tokens: 0,
    cached_input_tokens: 0,
    output_tokens: 0,
    reasoning_tokens: 0,
    queue_ms: 0,
    ttft_ms: 0,
    duration_ms: 0,
  };
  costNanoUsd = 0n;

  constructor(cube: CubeName, group: Group, key: string, hourMs: number) {
    this.cube = cube;
    this.group = group;
    this.key = key;
    this.hourMs = hourMs;
  }

  count(bucket: number): void {
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
  }
}

/** Users' costs are kept by four days. Of `whole` all of them lie in `days`, of `touched` they overlap `time`. */
export function rankedWithin(days: Span, time: Span): { readonly whole: Span; readonly touched: Span } {
  return {
    whole: { fromMs: ceilTo(days.fromMs, FOUR_DAYS_MS), toMs: floorTo(days.toMs, FOUR_DAYS_MS) },
    touched: { fromMs: floorTo(time.fromMs, FOUR_DAYS_MS), toMs: ceilTo(time.toMs, FOUR_DAYS_MS) },
  };
}

/** What deltas add to the costs that users are ranked by. */
export interface UserCosts {
  readonly startsMs: number;
  readonly group: Group;
  /** As `Place.key`. */
  readonly key: string;
  attempts: number;
  costNanoUsd: bigint;
}

const NO_VALUES = GROUP_COLUMNS.slice(RANKED_USERS.columns.length).map(() => null);

/** Of the users' cube, without its models and errors. */
export function costsOfUsers(deltas: readonly Delta[]): UserCosts[] {
  const byTimeAndKey = new Map<string, UserCosts>();
  for (const { cube, hourMs, group, counters, costNanoUsd } of deltas) {
    if (cube !== 'user') continue;
    const startsMs = floorTo(hourMs, FOUR_DAYS_MS);
    const key = rankedKey(group);
    const timeAndKey = `${startsMs}${key}`;
    let costs = byTimeAndKey.get(timeAndKey);
    if (costs === undefined) {
      const user = [...group.slice(0, RANKED_USERS.columns.length), ...NO_VALUES];
      costs = { startsMs, group: user, key, attempts: 0, costNanoUsd: 0n };
      byTimeAndKey.set(timeAndKey, costs);
    }
    costs.attempts += counters.attempts;
    costs.costNanoUsd += costNanoUsd;
  }
  return [...byTimeAndKey.values()];
}

/** The number of a delta's cube in the tables. */
export function cubeId({ cube }: Delta): number {
  return CUBES[cube].id;
}
