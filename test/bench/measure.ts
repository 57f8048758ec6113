/** One window of load on one side: what the load generator saw, and what it cost whom. */
import { runLoad } from './loadgen.ts';
import type { LoadResult } from './loadgen.ts';
import { cpuNs, machineBusyNs, processTree, reapedCpuNs, residentBytes } from './proc-cpu.ts';
import type { BenchProvider, ProviderCounts } from './provider.ts';
import { WARM_UP, chatBody } from './scenarios.ts';
import type { Scenario, ScenarioName } from './scenarios.ts';
import type { Part, Side, SideName } from './sides.ts';

export interface Measurement {
  readonly scenario: ScenarioName | 'memory';
  readonly side: SideName;
  /** Counts from 1. */
  readonly round: number;
  readonly load: LoadResult;
  /** What reached the provider in the window, the load generator's warm-up included: CPU is counted over the same window. */
  readonly provider: ProviderCounts;
  /** Microseconds of CPU for each request, or for each token of a stream; empty where there is no /proc. */
  readonly cpuUs: Readonly<Partial<Record<Part, number>>>;
  /** Cores that everything else on this machine kept busy meanwhile. */
  readonly otherCores: number | undefined;
  readonly memory: Readonly<Partial<Record<Part, MemoryUse>>>;
  /** Still under way when everything should have been over. */
  readonly left: number;
}

export interface MemoryUse {
  readonly beforeBytes: number;
  readonly peakBytes: number;
}

interface Cpu {
  readonly at: number;
  readonly parts: ReadonlyMap<Part, number>;
  readonly oursNs: number;
  readonly busyNs: number | undefined;
}

export interface MeasureOptions {
  readonly side: Side;
  readonly provider: BenchProvider;
  readonly round: number;
}

const SAMPLE_EVERY_MS = 100;
const DRAINED_WITHIN_MS = 10_000;

/** Resolves with the errors there were, by kind. */
export async function warmUp({ side, provider }: Omit<MeasureOptions, 'round'>): Promise<Record<string, number>> {
  const errors: Record<string, number> = {};
  for (const { provider: script, load: how } of WARM_UP) {
    await provider.configure(script);
    Object.assign(errors, (await load(side, { load: how, bodyBytes: 1_000 })).errors);
  }
  return errors;
}

/** One run of the load generator against a side. */
export function load(side: Side, { load: how, bodyBytes }: Pick<Scenario, 'load' | 'bodyBytes'>): Promise<LoadResult> {
  const { url, key, model } = side;
  return runLoad({
    ...how,
    url,
    headers: [`authorization: Bearer ${key}`, 'content-type: application/json'],
    body: chatBody(model, bodyBytes, how.stream === true),
    samples: true,
  });
}

export type Window = Pick<Scenario, 'provider' | 'load' | 'bodyBytes'> & { readonly name: Measurement['scenario'] };

export async function measure(window: Window, { side, provider, round }: MeasureOptions): Promise<Measurement> {
  await provider.configure(window.provider);
  const countsBefore = await provider.counts(side.providerKey);
  const memory = new MemoryWatch(side);
  const before = readCpu(side, provider);
  const result = await load(side, window);
  const after = readCpu(side, provider);
  memory.stop();
  const left = await untilDrained(side, provider);
  const counts = await provider.counts(side.providerKey);
  const provided = {
    requests: counts.requests - countsBefore.requests,
    promptTokens: counts.promptTokens - countsBefore.promptTokens,
    completionTokens: counts.completionTokens - countsBefore.completionTokens,
  };
  const isStream = window.load.stream === true;
  return {
    scenario: window.name,
    side: side.name,
    round,
    load: result,
    provider: provided,
    cpuUs: costs(before, after, isStream ? provided.completionTokens : provided.requests, result),
    otherCores: otherCores(before, after),
    memory: memory.uses(),
    left,
  };
}

function readCpu(side: Side, provider: BenchProvider): Cpu {
  const sum = (pids: readonly number[]): number => pids.reduce((total, pid) => total + (cpuNs(pid) ?? 0), 0);
  const parts = new Map<Part, number>([['provider', sum([provider.pid])]]);
  for (const [part, pids] of side.parts()) {
    // Postgres' sessions come and go: those that ended are in their parent's account.
    const reaped = part === 'postgres' ? pids.reduce((total, pid) => total + reapedCpuNs(pid), 0) : 0;
    parts.set(part, sum(pids) + reaped);
  }
  const ours = processTree(process.pid).map(({ pid }) => pid);
  const oursNs = sum(ours) + ours.reduce((total, pid) => total + reapedCpuNs(pid), 0);
  return { at: performance.now(), parts, oursNs, busyNs: machineBusyNs() };
}

function costs(before: Cpu, after: Cpu, units: number, result: LoadResult): Partial<Record<Part, number>> {
  if (after.busyNs === undefined || units === 0) return {};
  const cost: Partial<Record<Part, number>> = {};
  for (const [part, ns] of after.parts) cost[part] = (ns - (before.parts.get(part) ?? 0)) / units / 1_000;
  const measured = result.stream === undefined ? result.ok : result.stream.tokens;
  if (measured > 0) cost.loadgen = (result.loadgen_cpu_s * 1e6) / measured;
  return cost;
}

function otherCores(before: Cpu, after: Cpu): number | undefined {
  if (before.busyNs === undefined || after.busyNs === undefined) return undefined;
  const othersNs = after.busyNs - before.busyNs - (after.oursNs - before.oursNs);
  return Math.max(0, othersNs / 1e6 / (after.at - before.at));
}

/** Answers and requests that were not over in time: these hang. */
async function untilDrained({ gateway }: Side, provider: BenchProvider): Promise<number> {
  const givesUpAt = performance.now() + DRAINED_WITHIN_MS;
  for (;;) {
    const left = Math.max(await provider.active(), (await gateway?.inFlight()) ?? 0);
    if (left === 0 || performance.now() > givesUpAt) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The most memory that each part has held at once. */
class MemoryWatch {
  readonly #parts: ReadonlyMap<Part, readonly number[]>;
  readonly #before: ReadonlyMap<Part, number>;
  readonly #peak: Map<Part, number>;
  readonly #timer: NodeJS.Timeout;

  constructor(side: Side) {
    this.#parts = side.parts();
    this.#before = this.#read();
    this.#peak = new Map(this.#before);
    this.#timer = setInterval(() => {
      for (const [part, bytes] of this.#read()) this.#peak.set(part, Math.max(bytes, this.#peak.get(part) ?? 0));
    }, SAMPLE_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  uses(): Partial<Record<Part, MemoryUse>> {
    return Object.fromEntries(
      [...this.#before].map(([part, beforeBytes]) => [
        part,
        { beforeBytes, peakBytes: this.#peak.get(part) ?? beforeBytes },
      ]),
    );
  }

  /** A part whose processes cannot be read (not Linux) is left out. */
  #read(): Map<Part, number> {
    const read = new Map<Part, number>();
    for (const [part, pids] of this.#parts) {
      const sizes = pids.flatMap((pid) => residentBytes(pid) ?? []);
      if (sizes.length > 0)
        read.set(
          part,
          sizes.reduce((sum, bytes) => sum + bytes, 0),
        );
    }
    return read;
  }
}
