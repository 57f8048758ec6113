import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { CubeName, Group } from './cubes.ts';
import { CUBES, groupsOf } from './cubes.ts';
import { bucketColumns, bucketOf } from './histogram.ts';

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
const DURATION = bucketColumns('duration');
/** null in a row: nobody was in that bucket; most are empty, and null takes no room. */
export const BUCKETS: readonly string[] = [...TTFT, ...DURATION];

/** What events add to one group in one hour: a row as `json_to_recordset` reads it. */
export type Delta = Group &
  Record<Counter, number> &
  Readonly<Record<string, string | number | null>> & {
    readonly cube: number;
    readonly hour_ms: number;
    /** Decimal digits: a sum may be beyond 2^53. */
    readonly cost_nano_usd: string;
  };

/** One attempt's price became known, or another one, after it was recorded. */
export interface Correction {
  readonly event: UsageRecorded;
  readonly amountNanoUsd: bigint;
  /** It had no price before. */
  readonly isFirstPrice: boolean;
}

interface Sum {
  readonly cube: number;
  readonly group: Group;
  readonly hourMs: number;
  readonly counters: Record<Counter, number>;
  readonly buckets: Record<string, number>;
  cost: bigint;
}

/** What new events add to the rollups, by cube, group and hour. */
export function rollUp(events: readonly UsageRecorded[]): Delta[] {
  const sums = new Sums();
  for (const event of events) {
    const ttft = event.ttftMs === null ? undefined : TTFT[bucketOf(event.ttftMs)];
    const duration = DURATION[bucketOf(event.durationMs)] ?? '';
    const cost = BigInt(event.costNanoUsd ?? 0);
    for (const sum of sums.of(event)) {
      const { counters, buckets } = sum;
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
      if (ttft !== undefined) buckets[ttft] = (buckets[ttft] ?? 0) + 1;
      buckets[duration] = (buckets[duration] ?? 0) + 1;
      sum.cost += cost;
    }
  }
  return sums.deltas();
}

/** What corrections add: money alone, where the attempts themselves are counted. */
export function rollUpCorrections(corrections: readonly Correction[]): Delta[] {
  const sums = new Sums();
  for (const { event, amountNanoUsd, isFirstPrice } of corrections) {
    for (const sum of sums.of(event)) {
      if (isFirstPrice) sum.counters.unknown_price--;
      sum.cost += amountNanoUsd;
    }
  }
  return sums.deltas();
}

class Sums {
  readonly #byKey = new Map<string, Sum>();

  of(event: UsageRecorded): Sum[] {
    const hourMs = Math.floor(event.startedEpochMs / HOUR_MS) * HOUR_MS;
    return groupsOf(event).map(({ cube, group }) => this.#sumOf(cube, group, hourMs));
  }

  deltas(): Delta[] {
    return this.#byKey
      .values()
      .map(({ cube, group, hourMs, counters, buckets, cost }) => {
        return { cube, hour_ms: hourMs, ...group, ...counters, ...buckets, cost_nano_usd: String(cost) };
      })
      .toArray();
  }

  #sumOf(cube: CubeName, group: Group, hourMs: number): Sum {
    // A cube's groups have the same columns in the same order.
    const key = JSON.stringify([cube, hourMs, ...Object.values(group)]);
    let sum = this.#byKey.get(key);
    if (sum === undefined) {
      const counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<Counter, number>;
      sum = { cube: CUBES[cube].id, group, hourMs, counters, buckets: {}, cost: 0n };
      this.#byKey.set(key, sum);
    }
    return sum;
  }
}
