/** The results as Markdown tables that are also legible in a terminal. */
import { markdownTable } from '../support/markdown-table.ts';
import type { Row } from '../support/markdown-table.ts';
import {
  Figures,
  figure,
  complete,
  cpu,
  gap,
  kibPerStream,
  latency,
  memoryMiB,
  otherCores,
  requestsPerSecond,
  sent,
  timeToFirst,
  tokensPerSecond,
} from './figures.ts';
import type { Figure } from './figures.ts';
import type { Machine } from './machine.ts';
import { ADMISSION_KEYS, DECISION_SIZES, DECISION_STRATEGIES, HANG_WINDOWS, RULES_SCENARIOS } from './scenarios.ts';
import type { ScenarioName } from './scenarios.ts';
import { SIDES } from './sides.ts';
import type { Part, SideName } from './sides.ts';
import type { Results, Target } from './targets.ts';

export interface Run {
  /** ISO 8601. */
  readonly at: string;
  readonly command: string;
  readonly rounds: number;
  readonly isQuick: boolean;
  readonly isScaledOut: boolean;
  readonly machine: Machine;
}

const MISSING = 'n/a';

export function report(run: Run, results: Results, targets: readonly Target[], problems: readonly string[]): string {
  const figures = new Figures(results.measurements);
  const sections = [
    head(run),
    section('Plain requests, 64 connections, closed loop', plainRows(figures)),
    section('Plain requests at a fixed rate, open loop', openRows(figures)),
    section('200 streams of 64 tokens, one each 10 ms', streamRows(figures, 'streams-200')),
    section('1,000 streams of 50 tokens, one each 100 ms', streamRows(figures, 'streams-1000')),
    section('Limits and budgets: plain answers, 1 KB, 64 connections', rulesRows(figures)),
    section('One provider hangs: 300 requests/s at another', hangRows(figures)),
    section('What the clients of the provider that hangs saw, 50 requests/s', hungRows(results)),
    section('One decision of the router', decisionRows(results)),
    section('Limits of one request, at 8 scopes in requests, tokens, cost and concurrency', admissionRows(results)),
    section('Memory of 1,000 streams', memoryRows(figures, results)),
    section('Memory after many requests', heapRows(results)),
    section('The ledger: usage events into Postgres, durable', ledgerRows(results)),
    section('The ledger: how far it is behind', lagRows(results)),
    section(reportsTitle(results), reportRows(results)),
    section('Accounts: what the provider served, what the ledger has', accountRows(results)),
    section(`Targets: ${targets.filter(({ isMet }) => isMet).length} of ${targets.length} met`, targetRows(targets)),
    problems.length === 0 ? '' : `**Broken:**\n\n${problems.map((problem) => `- ${problem}`).join('\n')}`,
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function head({ at, command, rounds, isQuick, isScaledOut, machine }: Run): string {
  const { cpu: model, cores, memoryGiB, system, node, nats, postgres } = machine;
  const servers = `${nats === undefined ? '' : `, nats-server ${nats}`}${postgres === undefined ? '' : `, Postgres ${postgres}`}`;
  return [
    `\`${command}\`, ${at.slice(0, 16).replace('T', ' ')} UTC: ${rounds === 1 ? 'one round' : `median of ${rounds} rounds (lowest–highest)`}${isQuick ? ', short windows' : ''}, ${isScaledOut ? 'each service a process of its own' : 'all services in one process'}.`,
    `${model}, ${cores} cores, ${memoryGiB} GiB, ${system}; Node ${node}${servers}. Load generator, provider, gateway and servers share the cores.`,
  ].join('\n');
}

const sidesOf = (figures: Figures, scenario: ScenarioName): readonly SideName[] => (figures.has(scenario) ? SIDES : []);

function cpuCells(figures: Figures, scenario: ScenarioName, side: SideName): string[] {
  const parts: Part[] = ['gateway', 'nats', 'postgres', 'provider', 'loadgen'];
  return parts.map((part) => {
    const isThere =
      side === 'sluice' || part === 'provider' || part === 'loadgen' || (side === 'yardstick' && part === 'gateway');
    return isThere ? show(figures.of(scenario, side, cpu(part)), 1) : '';
  });
}

const cpuTitles = (unit: string): string[] => [`CPU µs/${unit}: gateway`, 'nats', 'postgres', 'provider', 'loadgen'];

function plainRows(figures: Figures): Row[] {
  const names = [
    ['plain-1k', '1 KB'],
    ['plain-8k', '8 KB'],
    ['plain-60ms', '1 KB, provider takes 60 ms'],
  ] as const;
  const rows = names.flatMap(([scenario, title]) =>
    sidesOf(figures, scenario).map((side) => [
      title,
      side,
      show(figures.of(scenario, side, requestsPerSecond), 0),
      side === 'sluice' ? show(figures.ofYardstick(scenario, side, requestsPerSecond), 2) : '',
      show(figures.of(scenario, side, latency('p50')), 2),
      show(figures.of(scenario, side, latency('p99')), 2),
      ...cpuCells(figures, scenario, side),
      show(figures.of(scenario, side, otherCores), 2),
    ]),
  );
  return [
    ['body', 'side', 'requests/s', '× yardstick', 'p50 ms', 'p99 ms', ...cpuTitles('request'), 'other load, cores'],
    ...rows,
  ];
}

function openRows(figures: Figures): Row[] {
  const names = [
    ['open-100', '100/s'],
    ['open-500', '500/s'],
  ] as const;
  const rows = names.flatMap(([scenario, title]) =>
    sidesOf(figures, scenario).map((side) => [
      title,
      side,
      show(figures.of(scenario, side, latency('p50')), 2),
      show(figures.of(scenario, side, latency('p99')), 2),
      side === 'direct' ? '' : show(figures.added(scenario, side, latency('p50')), 2),
      side === 'direct' ? '' : show(figures.added(scenario, side, latency('p99')), 2),
      ...cpuCells(figures, scenario, side),
      show(figures.of(scenario, side, otherCores), 2),
    ]),
  );
  return [
    ['rate', 'side', 'p50 ms', 'p99 ms', 'added p50', 'added p99', ...cpuTitles('request'), 'other load, cores'],
    ...rows,
  ];
}

function streamRows(figures: Figures, scenario: 'streams-200' | 'streams-1000'): Row[] {
  const rows = sidesOf(figures, scenario).map((side) => [
    side,
    `${show(figures.of(scenario, side, complete), 0)} of ${show(figures.of(scenario, side, sent), 0)}`,
    show(figures.of(scenario, side, timeToFirst('p50')), 2),
    show(figures.of(scenario, side, timeToFirst('p99')), 2),
    side === 'direct' ? '' : show(figures.added(scenario, side, timeToFirst('p50')), 2),
    side === 'direct' ? '' : show(figures.added(scenario, side, timeToFirst('p99')), 2),
    show(figures.of(scenario, side, gap('p50')), 1),
    show(figures.of(scenario, side, gap('p99')), 1),
    show(figures.of(scenario, side, tokensPerSecond), 0),
    ...cpuCells(figures, scenario, side),
    show(figures.of(scenario, side, otherCores), 2),
  ]);
  const titles = [
    'side',
    'complete',
    'first token p50 ms',
    'p99',
    'added p50',
    'added p99',
    'gap p50 ms',
    'p99',
    'tokens/s',
  ];
  return [[...titles, ...cpuTitles('token'), 'other load, cores'], ...rows];
}

function rulesRows(figures: Figures): Row[] {
  const [none] = RULES_SCENARIOS;
  const titles = { 'rules-none': 'none', 'rules-all': 'at every scope' };
  const rows = (figures.has(none) ? RULES_SCENARIOS : []).map((name) => [
    titles[name],
    show(figures.of(name, 'sluice', requestsPerSecond), 0),
    name === none ? '' : show(figures.ofOther([name, none], 'sluice', requestsPerSecond), 2),
    show(figures.of(name, 'sluice', latency('p50')), 2),
    show(figures.of(name, 'sluice', latency('p99')), 2),
    ...cpuCells(figures, name, 'sluice'),
    show(figures.of(name, 'sluice', otherCores), 2),
  ]);
  return [['rules', 'requests/s', '× none', 'p50 ms', 'p99 ms', ...cpuTitles('request'), 'other load, cores'], ...rows];
}

function hangRows(figures: Figures): Row[] {
  const [before] = HANG_WINDOWS;
  const titles = { 'hang-before': 'before', 'hang-during': 'it hangs', 'hang-after': 'after' };
  const rows = (figures.has(before) ? HANG_WINDOWS : []).map((name) => [
    titles[name],
    show(figures.of(name, 'sluice', latency('p50')), 2),
    show(figures.of(name, 'sluice', latency('p99')), 2),
    name === before ? '' : show(figures.ofOther([name, before], 'sluice', latency('p50')), 2),
    name === before ? '' : show(figures.ofOther([name, before], 'sluice', latency('p99')), 2),
    show(figures.of(name, 'sluice', otherCores), 2),
  ]);
  return [['window', 'p50 ms', 'p99 ms', 'p50, × before', 'p99, × before', 'other load, cores'], ...rows];
}

function hungRows({ hung }: Results): Row[] {
  const statuses = [...new Set(hung.flatMap(({ status }) => Object.keys(status)))].toSorted();
  const rows = hung.map(({ round, sent, reached, breakerOpened, status, unanswered }) => [
    decimal(round, 0),
    decimal(sent, 0),
    decimal(reached, 0),
    breakerOpened === undefined ? MISSING : decimal(breakerOpened, 0),
    ...statuses.map((code) => decimal(status[code] ?? 0, 0)),
    decimal(unanswered, 0),
  ]);
  return [
    ['round', 'sent', 'attempts at it', 'breaker opened', ...statuses.map((code) => `status ${code}`), 'no answer'],
    ...rows,
  ];
}

function decisionRows({ decisions }: Results): Row[] {
  const us = (size: number, strategy: string): string => {
    const found = decisions.filter((one) => one.deployments === size && one.strategy === strategy);
    return show(figure(found.map((one) => one.us)), 1);
  };
  const rows = (decisions.length > 0 ? DECISION_SIZES : []).map((size) => [
    decimal(size, 0),
    ...DECISION_STRATEGIES.map((strategy) => us(size, strategy)),
  ]);
  return [['deployments', ...DECISION_STRATEGIES.map((strategy) => `${strategy} µs`)], ...rows];
}

function admissionRows({ admissions }: Results): Row[] {
  const us = (where: 'process' | 'redis', keys: number, quantile: 'p50Us' | 'p99Us'): string => {
    const found = admissions.filter((one) => one.where === where && one.keys === keys);
    return show(figure(found.map((one) => one[quantile])), where === 'process' ? 1 : 0);
  };
  const rows = (admissions.length > 0 ? ADMISSION_KEYS : []).map((keys) => [
    decimal(keys, 0),
    us('process', keys, 'p50Us'),
    us('process', keys, 'p99Us'),
    us('redis', keys, 'p50Us'),
    us('redis', keys, 'p99Us'),
  ]);
  return [['keys', 'in process: p50 µs', 'p99 µs', 'in Redis: p50 µs', 'p99 µs'], ...rows];
}

function memoryRows(figures: Figures, { held }: Results): Row[] {
  const scenario = 'streams-1000';
  const parts: ReadonlyArray<readonly [SideName, Part]> = [
    ['yardstick', 'gateway'],
    ['sluice', 'gateway'],
    ['sluice', 'nats'],
    ['sluice', 'postgres'],
  ];
  const heldKib = (side: SideName): Figure | undefined =>
    figure(
      held
        .filter((found) => found.side === side)
        .map(({ beforeBytes, openBytes, streams }) => (openBytes - beforeBytes) / 1_024 / streams),
    );
  const rows = (figures.has(scenario) ? parts : []).map(([side, part]) => [
    side,
    part === 'gateway' ? 'process' : part,
    show(figures.of(scenario, side, memoryMiB(part, 'beforeBytes')), 0),
    show(figures.of(scenario, side, memoryMiB(part, 'peakBytes')), 0),
    show(figures.of(scenario, side, kibPerStream(part)), 1),
    part === 'gateway' ? show(heldKib(side), 1) : '',
  ]);
  return [
    ['side', 'of', 'RSS before, MiB', 'peak, MiB', 'KiB for each stream', 'held in heap and buffers, KiB for each'],
    ...rows,
  ];
}

function heapRows({ memory }: Results): Row[] {
  const mib = (bytes: number | undefined): string => (bytes === undefined ? MISSING : decimal(bytes / 2 ** 20, 1));
  const rows = memory === undefined ? [] : [memory.first, memory.last];
  return [
    ['requests', 'heap after collection, MiB', 'buffers, MiB', 'RSS, MiB'],
    ...rows.map((look) => [
      decimal(look.requests, 0),
      mib(look.heapBytes),
      mib(look.buffersBytes),
      mib(look.residentBytes),
    ]),
  ];
}

function ledgerRows({ ledger }: Results): Row[] {
  const rows = (ledger?.throughput ?? []).map(({ what, postgres, events, perSecond }) => [
    ...[what, postgres, decimal(events, 0), decimal(perSecond, 0)],
  ]);
  return [['events', 'Postgres', 'how many', 'events/s'], ...rows];
}

function lagRows({ ledger }: Results): Row[] {
  const rows = (ledger === undefined ? [] : [ledger.lag]).map(({ perSecond, events, p50Ms, p99Ms }) => [
    ...[decimal(perSecond, 0), decimal(events, 0), decimal(p50Ms, 0), decimal(p99Ms, 0)],
  ]);
  return [['events/s', 'how many', 'from worker to commit, p50 ms', 'p99 ms'], ...rows];
}

function reportsTitle({ ledger }: Results): string {
  return `The ledger: reports over ${decimal(ledger?.events ?? 0, 0)} events of thirty days`;
}

function reportRows({ ledger }: Results): Row[] {
  const rows = (ledger?.reports ?? []).map((one) => [
    ...[one.what, decimal(one.rows, 0), decimal(one.p50Ms, 0), decimal(one.p95Ms, 0)],
  ]);
  return [['report', 'rows', 'p50, ms', 'p95, ms'], ...rows];
}

function accountRows({ accounts }: Results): Row[] {
  const rows = accounts.map(({ of, provider, ledger, unaccounted, unaccountedTokens, caughtUpMs }) => [
    of,
    decimal(provider.requests, 0),
    decimal(ledger.requests, 0),
    decimal(unaccounted, 0),
    decimal(unaccountedTokens, 0),
    decimal(caughtUpMs, 0),
  ]);
  return [
    ['gateway of', 'served', 'in the ledger', 'unaccounted', 'tokens unaccounted', 'caught up after ms'],
    ...rows,
  ];
}

function targetRows(targets: readonly Target[]): Row[] {
  const rows = targets.map(({ what, unit, wanted, figure, isMet }) => [
    isMet ? '✓' : '✗',
    what,
    `${'atLeast' in wanted ? `≥ ${wanted.atLeast.toLocaleString('en')}` : `≤ ${wanted.atMost.toLocaleString('en')}`} ${unit}`,
    show(figure, figure.max < 100 && figure.max !== Math.round(figure.max) ? 2 : 0),
  ]);
  return [['', 'target', 'wanted', 'measured'], ...rows];
}

function show(found: Figure | undefined, digits: number): string {
  if (found === undefined) return MISSING;
  const [median, min, max] = [found.median, found.min, found.max].map((value) => decimal(value, digits));
  return min === max ? (median ?? '') : `${median} (${min}–${max})`;
}

function decimal(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function section(title: string, [titles = [], ...rows]: readonly Row[]): string {
  return rows.length === 0 ? '' : `### ${title}\n\n${markdownTable(titles, rows)}`;
}
