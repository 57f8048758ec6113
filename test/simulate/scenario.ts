import type { Chart } from './chart.ts';

export interface Settings {
  readonly seed: number;
  /** About how many requests a scenario simulates; its rates, or how long it lasts, follow from that. */
  readonly requests: number;
  readonly progress: (text: string) => void;
}

export type Cell = string | number;

/** What a scenario found out. */
export interface Result {
  /** What was simulated, for who reads the table. */
  readonly setup: string;
  readonly titles: readonly string[];
  readonly rows: ReadonlyArray<readonly Cell[]>;
  readonly charts: readonly Chart[];
  /** Requests that were simulated, and those that never ended. */
  readonly requests: number;
  readonly lost: number;
  readonly targets: readonly Target[];
}

export interface Target {
  readonly what: string;
  readonly wanted: string;
  readonly measured: string;
  readonly isMet: boolean;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly run: (settings: Settings) => Result;
}

export function atMost(what: string, measured: number, wanted: number, digits = 2): Target {
  const isMet = measured <= wanted;
  return { what, wanted: `≤ ${round(wanted, 3)}`, measured: round(measured, digits).toLocaleString('en'), isMet };
}

export function atLeast(what: string, measured: number, wanted: number, digits = 2): Target {
  const isMet = measured >= wanted;
  return { what, wanted: `≥ ${round(wanted, 3)}`, measured: round(measured, digits).toLocaleString('en'), isMet };
}

export function round(value: number, digits = 0): number {
  const power = 10 ** digits;
  return Math.round(value * power) / power;
}

export function percent(ratio: number, digits = 1): string {
  return `${round(100 * ratio, digits)} %`;
}
