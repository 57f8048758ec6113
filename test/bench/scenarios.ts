/** What is loaded, and how. The prompts are those of the measurements of other gateways (docs/performance.md). */
import type { LoadOptions } from './loadgen.ts';

export const GROUPS = ['plain', 'open', 'streams', 'rules', 'hang', 'decide', 'admission', 'memory', 'ledger'] as const;
export type Group = (typeof GROUPS)[number];

export type ScenarioName =
  | 'plain-1k'
  | 'plain-8k'
  | 'plain-60ms'
  | 'open-100'
  | 'open-500'
  | 'streams-200'
  | 'streams-1000'
  | RulesScenario
  | HangWindow;

/** The same load, on a gateway without rules and on one with limits and budgets at every scope. */
export const RULES_SCENARIOS = ['rules-none', 'rules-all'] as const;
export type RulesScenario = (typeof RULES_SCENARIOS)[number];

/** Of one round, in this order: everybody answers, one provider hangs, everybody answers again. */
export const HANG_WINDOWS = ['hang-before', 'hang-during', 'hang-after'] as const;
export type HangWindow = (typeof HANG_WINDOWS)[number];

export interface Scenario {
  readonly name: ScenarioName;
  readonly group: Extract<Group, 'plain' | 'open' | 'streams'>;
  readonly title: string;
  /** Script of the scripted provider. */
  readonly provider: string;
  readonly load: Omit<LoadOptions, 'url' | 'headers' | 'body'>;
  /** About so many bytes of JSON. */
  readonly bodyBytes: 1_000 | 8_000;
  /** On processes that have only been warmed up: a heap that has grown before would hide what a stream costs. */
  readonly isFresh: boolean;
}

/**
 * Before anything is measured, on every side. By requests, not by time: V8 compiles what is hot after so many calls, and
 * on a slow machine a gateway went from 254 to 142 µs a request between its first 20,000 requests and its hundred thousandth.
 */
export const WARM_UP: readonly Pick<Scenario, 'provider' | 'load'>[] = [
  { provider: 'n=64', load: { connections: 64, requests: 100_000, timeoutMs: 60_000 } },
  {
    provider: 'n=32&itl=10&ts=1',
    load: { connections: 200, requests: 2_000, stream: true, expect: 32, timeoutMs: 60_000 },
  },
];

/** Each load generator is a new process: it warms up too. */
const RAMP_UP_MS = 1_000;

export function scenarios(isQuick: boolean): Scenario[] {
  const seconds = (full: number): number => (isQuick ? full / 2 : full) * 1_000;
  const plain = { group: 'plain', isFresh: false } as const;
  const closed = { connections: 64, durationMs: seconds(6), warmupMs: RAMP_UP_MS };
  const open = (rate: number): Scenario => ({
    name: rate === 100 ? 'open-100' : 'open-500',
    group: 'open',
    title: `${rate} requests/s`,
    provider: 'n=64',
    load: { rate, durationMs: seconds(8), warmupMs: RAMP_UP_MS },
    bodyBytes: 1_000,
    isFresh: false,
  });
  return [
    { ...plain, name: 'plain-1k', title: '1 KB', provider: 'n=64', load: closed, bodyBytes: 1_000 },
    { ...plain, name: 'plain-8k', title: '8 KB', provider: 'n=64', load: closed, bodyBytes: 8_000 },
    {
      ...plain,
      name: 'plain-60ms',
      title: '1 KB, provider takes 60 ms',
      provider: 'n=64&ttft=60',
      load: closed,
      bodyBytes: 1_000,
    },
    open(100),
    open(500),
    {
      name: 'streams-200',
      group: 'streams',
      title: '200 streams of 64 tokens, one each 10 ms',
      provider: 'n=64&itl=10&ts=1',
      load: {
        connections: 200,
        requests: 800,
        stream: true,
        expect: 64,
        rampMs: 640,
        warmupMs: RAMP_UP_MS,
        timeoutMs: 60_000,
        needDone: true,
      },
      bodyBytes: 1_000,
      isFresh: false,
    },
    {
      name: 'streams-1000',
      group: 'streams',
      title: '1,000 streams of 50 tokens, one each 100 ms',
      provider: 'n=50&itl=100&ts=1',
      load: {
        connections: 1_000,
        requests: 1_000,
        stream: true,
        expect: 50,
        rampMs: 1_000,
        timeoutMs: 60_000,
        needDone: true,
      },
      bodyBytes: 1_000,
      isFresh: true,
    },
  ];
}

export function rulesWindow(isQuick: boolean): Pick<Scenario, 'provider' | 'load' | 'bodyBytes'> {
  const durationMs = isQuick ? 3_000 : 6_000;
  return { provider: 'n=64', load: { connections: 64, durationMs, warmupMs: RAMP_UP_MS }, bodyBytes: 1_000 };
}

export interface HangScenario {
  readonly provider: string;
  readonly bodyBytes: Scenario['bodyBytes'];
  /** Of the healthy provider, the same in each window. */
  readonly load: Scenario['load'];
  /** Of the one that hangs, from the beginning of its window to the end. */
  readonly hanging: Scenario['load'];
}

/** With its deadline, which no request here outlives: a round takes 24 s, a short one 15. */
export function hangScenario(isQuick: boolean): HangScenario {
  const durationMs = isQuick ? 3_000 : 6_000;
  return {
    provider: 'n=64',
    bodyBytes: 1_000,
    load: { rate: 300, durationMs, warmupMs: RAMP_UP_MS },
    hanging: { rate: 50, durationMs: RAMP_UP_MS + durationMs },
  };
}

/** How many deployments a route of the decisions has, and for how long each decision is measured. */
export const DECISION_SIZES = [2, 100, 1_000] as const;
export const DECISION_STRATEGIES = ['peak_ewma', 'ordered'] as const;
export function decisionMs(isQuick: boolean): number {
  return isQuick ? 100 : 300;
}

/** How many keys have counters when the limits of a request are taken, and how many requests are measured. */
export const ADMISSION_KEYS = [1, 10_000, 1_000_000] as const;
export function admissionRequests(isQuick: boolean): { readonly inProcess: number; readonly inRedis: number } {
  return isQuick ? { inProcess: 50_000, inRedis: 2_000 } : { inProcess: 200_000, inRedis: 10_000 };
}

/** Requests before the first look at the heap, and before the second. */
export function memoryRequests(isQuick: boolean): readonly [first: number, last: number] {
  return isQuick ? [20_000, 60_000] : [100_000, 500_000];
}

const MANUAL =
  'You are an assistant for the operations team of a small airline. Answer briefly, cite the section of the manual you used, and say so when you do not know. ';
const QUESTION =
  'The inbound aircraft is late by 95 minutes and the crew reaches its duty limit at 21:40. Which options do we have, and what must be filed? ';

/** `{{seq}}` makes each request's body its own. */
export function chatBody(model: string, bytes: Scenario['bodyBytes'], isStream: boolean): string {
  const system = MANUAL.repeat(bytes === 1_000 ? 3 : 47);
  const user = `Request {{seq}}. ${QUESTION}Request 0. ${QUESTION}`;
  return JSON.stringify({
    model,
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
    temperature: 0.2,
    max_tokens: 512,
    ...(isStream ? { stream: true } : {}),
  });
}
