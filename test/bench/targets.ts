/** What the project has set itself. */
import { DECISION_TARGET } from '../simulate/decision-cost.ts';
import type { Account } from './account.ts';
import type { AdmissionCost } from './admission.ts';
import type { Decision } from './decisions.ts';
import {
  Figures,
  complete,
  cpu,
  figure,
  gap,
  kibPerStream,
  latency,
  requestsPerSecond,
  sent,
  timeToFirst,
} from './figures.ts';
import type { Figure } from './figures.ts';
import type { Hung } from './hang.ts';
import type { Held } from './held.ts';
import type { LedgerResult } from './ledger.ts';
import type { Measurement } from './measure.ts';
import type { MemoryResult } from './memory.ts';
import { ADMISSION_KEYS, DECISION_STRATEGIES } from './scenarios.ts';

export interface Results {
  readonly measurements: readonly Measurement[];
  readonly memory: MemoryResult | undefined;
  readonly ledger: LedgerResult | undefined;
  readonly held: readonly Held[];
  readonly hung: readonly Hung[];
  readonly decisions: readonly Decision[];
  readonly admissions: readonly AdmissionCost[];
  /** What went wrong outside of the measurements. */
  readonly mishaps: readonly string[];
  readonly accounts: readonly Account[];
}

export interface Target {
  readonly what: string;
  readonly unit: string;
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number };
  readonly figure: Figure;
  /** By the median. */
  readonly isMet: boolean;
}

/** Only those of scenarios that ran, and only where there is a figure. */
export function checkTargets({
  measurements,
  memory,
  ledger,
  accounts,
  hung,
  decisions,
  admissions,
}: Results): Target[] {
  const figures = new Figures(measurements);
  const targets: Target[] = [];
  const atLeast = (what: string, unit: string, bound: number, found: Figure | undefined): void => {
    if (found !== undefined)
      targets.push({ what, unit, wanted: { atLeast: bound }, figure: found, isMet: found.median >= bound });
  };
  const atMost = (what: string, unit: string, bound: number, found: Figure | undefined): void => {
    if (found !== undefined)
      targets.push({ what, unit, wanted: { atMost: bound }, figure: found, isMet: found.median <= bound });
  };
  const incomplete = (scenario: 'streams-200' | 'streams-1000'): Figure | undefined =>
    figures.of(scenario, 'sluice', (measured) => (sent(measured) ?? NaN) - (complete(measured) ?? NaN));

  atLeast('plain, 1 KB, 64 connections', 'requests/s', 10_000, figures.of('plain-1k', 'sluice', requestsPerSecond));
  atLeast(
    'plain, 1 KB, share of the yardstick',
    '×',
    0.45,
    figures.ofYardstick('plain-1k', 'sluice', requestsPerSecond),
  );
  atLeast(
    'plain, 8 KB, share of the yardstick',
    '×',
    0.35,
    figures.ofYardstick('plain-8k', 'sluice', requestsPerSecond),
  );
  atMost('500 requests/s, added p50', 'ms', 0.6, figures.added('open-500', 'sluice', latency('p50')));
  atMost('500 requests/s, added p99', 'ms', 4, figures.added('open-500', 'sluice', latency('p99')));
  atMost('200 streams, not complete', 'streams', 0, incomplete('streams-200'));
  atMost('200 streams, p99 gap between tokens', 'ms', 20, figures.of('streams-200', 'sluice', gap('p99')));
  atMost(
    '200 streams, added time to first token, p50',
    'ms',
    1,
    figures.added('streams-200', 'sluice', timeToFirst('p50')),
  );
  atMost(
    '200 streams, added time to first token, p99',
    'ms',
    20,
    figures.added('streams-200', 'sluice', timeToFirst('p99')),
  );
  atMost(
    '200 streams, CPU per token of gateway and broker, of the yardstick’s',
    '×',
    1.5,
    figures.ofYardstick('streams-200', 'sluice', cpu('gateway', 'nats')),
  );
  atMost('1,000 streams, not complete', 'streams', 0, incomplete('streams-1000'));
  atMost(
    '1,000 streams, memory of the gateway for each',
    'KiB',
    40,
    figures.of('streams-1000', 'sluice', kibPerStream('gateway')),
  );
  atLeast(
    'plain, 1 KB, with limits and budgets at every scope, of that without',
    '×',
    0.9,
    figures.ofOther(['rules-all', 'rules-none'], 'sluice', requestsPerSecond),
  );
  atMost(
    'p99 while another provider hangs, of that before',
    '×',
    1.2,
    figures.ofOther(['hang-during', 'hang-before'], 'sluice', latency('p99')),
  );
  for (const strategy of DECISION_STRATEGIES) {
    const { deployments, us } = DECISION_TARGET;
    const found = decisions.filter((one) => one.strategy === strategy && one.deployments === deployments);
    const what = `one decision at ${deployments} deployments, ${strategy}`;
    atMost(what, 'µs', us, figure(found.map((one) => one.us)));
  }
  const [, , mostKeys] = ADMISSION_KEYS;
  const admitted = admissions.filter(({ where, keys }) => where === 'process' && keys === mostKeys);
  const what = `limits of one request at 8 scopes, in process, ${mostKeys.toLocaleString('en')} keys, p50`;
  atMost(what, 'µs', 5, figure(admitted.map(({ p50Us }) => p50Us)));
  if (memory !== undefined) {
    const { first, last } = memory;
    const what = `heap after ${last.requests.toLocaleString('en')} requests, of that after ${first.requests.toLocaleString('en')}`;
    atMost(what, '×', 1.1, figure([last.heapBytes / first.heapBytes]));
  }
  if (ledger !== undefined) {
    const drained = ledger.throughput.find(({ postgres }) => postgres === 'embedded');
    atLeast(
      'usage events from JetStream into the embedded Postgres',
      'events/s',
      4_000,
      figure([drained?.perSecond ?? NaN]),
    );
    atMost(`the ledger’s lag at ${ledger.lag.perSecond} events/s, p99`, 'ms', 500, figure([ledger.lag.p99Ms]));
    const slowest = Math.max(...ledger.reports.map(({ p95Ms }) => p95Ms));
    atMost(`the slowest report over ${ledger.events.toLocaleString('en')} events, p95`, 'ms', 200, figure([slowest]));
  }
  if (measurements.length > 0) atMost('requests that hang', 'requests', 0, figure([hangs(measurements, memory, hung)]));
  if (accounts.length > 0) {
    const missing = accounts.reduce((sum, { unaccounted }) => sum + unaccounted, 0);
    atMost('requests that the ledger and the provider do not agree on', 'requests', 0, figure([missing]));
  }
  return targets;
}

/** Without an answer in time, or still held after the load was over. */
function hangs(measurements: readonly Measurement[], memory: MemoryResult | undefined, hung: readonly Hung[]): number {
  let count = hung.reduce((sum, { unanswered }) => sum + unanswered, memory?.left ?? 0);
  for (const { side, load, left } of measurements) {
    if (side !== 'sluice') continue;
    count += left;
    for (const [kind, times] of Object.entries(load.errors)) if (kind.startsWith('timeout')) count += times;
  }
  return count;
}

/** What must not happen on any machine, however slow or busy. */
export function findProblems({ measurements, memory, accounts, held, hung, mishaps }: Results): string[] {
  const problems = [...mishaps];
  for (const { scenario, side, round, load, left } of measurements) {
    const errors = Object.entries(load.errors).map(([kind, times]) => `${times} × ${kind}`);
    const example = load.examples?.[0];
    const where = `${scenario}, ${side}, round ${round}`;
    if (errors.length > 0)
      problems.push(`${where}: ${errors.join(', ')}${example === undefined ? '' : ` (${example})`}`);
    if (left > 0) problems.push(`${where}: ${left} requests still under way after the load`);
  }
  if (memory !== undefined) {
    const errors = Object.entries(memory.load.errors).map(([kind, times]) => `${times} × ${kind}`);
    if (errors.length > 0) problems.push(`memory: ${errors.join(', ')}`);
    if (memory.left > 0) problems.push(`memory: ${memory.left} requests still under way after the load`);
  }
  for (const { round, sent, unanswered, status } of hung) {
    const where = `a provider hangs, round ${round}`;
    if (unanswered > 0) problems.push(`${where}: ${unanswered} of ${sent} requests to it were not answered`);
    if (status['200'] !== undefined) problems.push(`${where}: it answered`);
  }
  for (const { side, errors, examples } of held) {
    if (Object.keys(errors).length > 0)
      problems.push(`open streams, ${side}: ${JSON.stringify(errors)} ${examples[0] ?? ''}`);
  }
  for (const { of, provider, ledger, unaccounted, unaccountedTokens } of accounts) {
    if (unaccounted > 0)
      problems.push(`${of}: the provider served ${provider.requests} requests, the ledger has ${ledger.requests}`);
    else if (unaccountedTokens > 0) problems.push(`${of}: ledger and provider differ by ${unaccountedTokens} tokens`);
  }
  return problems;
}
