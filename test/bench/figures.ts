/** Figures of a scenario over its rounds. */
import type { Measurement } from './measure.ts';
import type { ScenarioName } from './scenarios.ts';
import type { Part, SideName } from './sides.ts';

export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** undefined when there is nothing to tell. */
export function figure(values: readonly number[]): Figure | undefined {
  const sorted = values.filter((value) => Number.isFinite(value)).toSorted((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return undefined;
  const middle = sorted.length / 2;
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle) - 1] ?? 0)) / 2;
  return { median, min, max };
}

/** Reads one number from a measurement; undefined or NaN: not there. */
export type Read = (measurement: Measurement) => number | undefined;

export class Figures {
  readonly #measurements: readonly Measurement[];

  constructor(measurements: readonly Measurement[]) {
    this.#measurements = measurements;
  }

  has(scenario: ScenarioName): boolean {
    return this.#measurements.some((measured) => measured.scenario === scenario);
  }

  of(scenario: ScenarioName, side: SideName, read: Read): Figure | undefined {
    return figure(this.#all(scenario, side).map((measured) => read(measured) ?? NaN));
  }

  /** `combine` the side's number with that of another side in the same round. */
  against(
    scenario: ScenarioName,
    [side, other]: readonly [SideName, SideName],
    read: Read,
    combine: (value: number, other: number) => number,
  ): Figure | undefined {
    const others = this.#all(scenario, other);
    const combined = this.#all(scenario, side).map((measured) => {
      const same = others.find(({ round }) => round === measured.round);
      return same === undefined ? NaN : combine(read(measured) ?? NaN, read(same) ?? NaN);
    });
    return figure(combined);
  }

  /** `read` of one scenario by that of another, in the same round. */
  ofOther([scenario, other]: readonly [ScenarioName, ScenarioName], side: SideName, read: Read): Figure | undefined {
    const others = this.#all(other, side);
    const ratios = this.#all(scenario, side).map((measured) => {
      const same = others.find(({ round }) => round === measured.round);
      return same === undefined ? NaN : (read(measured) ?? NaN) / (read(same) ?? NaN);
    });
    return figure(ratios);
  }

  added(scenario: ScenarioName, side: SideName, read: Read): Figure | undefined {
    return this.against(scenario, [side, 'direct'], read, (value, direct) => value - direct);
  }

  ofYardstick(scenario: ScenarioName, side: SideName, read: Read): Figure | undefined {
    return this.against(scenario, [side, 'yardstick'], read, (value, yardstick) => value / yardstick);
  }

  #all(scenario: ScenarioName, side: SideName): Measurement[] {
    return this.#measurements.filter((measured) => measured.scenario === scenario && measured.side === side);
  }
}

export const requestsPerSecond: Read = ({ load }) => load.rps;
export const latency =
  (quantile: 'p50' | 'p99'): Read =>
  ({ load }) =>
    load.lat_ms?.[quantile];
export const timeToFirst =
  (quantile: 'p50' | 'p99'): Read =>
  ({ load }) =>
    load.stream?.ttft_ms?.[quantile];
export const gap =
  (quantile: 'p50' | 'p99'): Read =>
  ({ load }) =>
    load.stream?.gap_ms?.[quantile];
export const tokensPerSecond: Read = ({ load }) => load.stream?.tokens_per_s;
export const complete: Read = ({ load }) => load.stream?.complete;
export const sent: Read = ({ load }) => load.sent;
export const otherCores: Read = (measured) => measured.otherCores;
export const cpu =
  (...parts: readonly Part[]): Read =>
  ({ cpuUs }) => {
    const known = parts.flatMap((part) => cpuUs[part] ?? []);
    return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
  };
export const kibPerStream =
  (part: Part): Read =>
  ({ memory, load }) => {
    const use = memory[part];
    return use === undefined ? undefined : (use.peakBytes - use.beforeBytes) / 1_024 / load.sent;
  };
export const memoryMiB =
  (part: Part, of: 'beforeBytes' | 'peakBytes'): Read =>
  ({ memory }) => {
    const bytes = memory[part]?.[of];
    return bytes === undefined ? undefined : bytes / 2 ** 20;
  };
