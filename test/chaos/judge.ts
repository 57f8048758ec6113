import type { Ending, Outcome } from '../support/load.ts';
import { isServed } from '../support/load.ts';
import type { Worst } from './faults.ts';

export interface Struck {
  readonly worst: Worst;
  /** The ingress whose clients alone may notice; undefined: those of all may. */
  readonly url: string | undefined;
  /** By `performance.now()`: when it was struck, and when what was struck was over. */
  readonly atMs: number;
  readonly overMs: number;
}

/** What became of the requests of one fault. */
export interface Figures {
  readonly asked: number;
  readonly served: number;
  readonly failed: number;
  /** Failures by code. */
  readonly codes: Readonly<Record<string, number>>;
  readonly cut: number;
  readonly hung: number;
  readonly broken: number;
  /** Of all requests that ended after the blow, however they did. */
  readonly p99Ms: number;
  readonly slowestMs: number;
  /** From the fault's end to the end of the last request that was not served. */
  readonly backAfterMs: number;
  /** Endings that this fault does not excuse. */
  readonly problems: readonly string[];
}

export function judge(outcomes: readonly Outcome[], struck: Struck): Figures {
  const count = (kind: Ending['kind']): number => outcomes.filter(({ ending }) => ending.kind === kind).length;
  const after = outcomes.filter((outcome) => endOf(outcome) >= struck.atMs);
  const took = after.map(({ tookMs }) => tookMs);
  const lastFailure = Math.max(struck.overMs, ...after.filter((outcome) => !isServed(outcome)).map(endOf));
  return {
    asked: outcomes.length,
    served: count('served'),
    failed: count('failed'),
    codes: countCodes(outcomes),
    cut: count('closed'),
    hung: count('hung'),
    broken: count('broken'),
    p99Ms: percentile(took, 0.99),
    slowestMs: Math.max(0, ...took),
    backAfterMs: Math.round(lastFailure - struck.overMs),
    problems: outcomes
      .filter((outcome) => !isExcused(outcome, struck))
      .map(({ trace, ending, tookMs }) => `${trace} after ${tookMs} ms: ${JSON.stringify(ending)}`),
  };
}

function isExcused({ ending, url }: Outcome, struck: Struck): boolean {
  const worst = struck.url === undefined || struck.url === url ? struck.worst : 'served';
  switch (ending.kind) {
    case 'served':
      return true;
    case 'failed':
      return worst === 'begun' ? ending.hasBegun : worst !== 'served';
    case 'closed':
      return worst === 'cut';
    case 'hung':
    case 'broken':
      return false;
  }
}

function countCodes(outcomes: readonly Outcome[]): Record<string, number> {
  const codes: Record<string, number> = {};
  for (const { ending } of outcomes) if (ending.kind === 'failed') codes[ending.code] = (codes[ending.code] ?? 0) + 1;
  return codes;
}

function endOf({ beganAtMs, tookMs }: Outcome): number {
  return beganAtMs + tookMs;
}

/** Nearest rank. @param ratio 0..1 */
function percentile(values: readonly number[], ratio: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(ratio * sorted.length) - 1)] ?? 0;
}
