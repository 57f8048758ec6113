/** What many open streams hold: memory that is left after a collection, in the middle of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HeapUsage } from './inspector.ts';
import { load } from './measure.ts';
import type { MeasureOptions } from './measure.ts';
import type { Scenario } from './scenarios.ts';
import type { SideName } from './sides.ts';

export interface Held {
  readonly side: SideName;
  readonly round: number;
  readonly streams: number;
  /** Heap and buffers, before and while the streams are open. */
  readonly beforeBytes: number;
  readonly openBytes: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly examples: readonly string[];
}

/** All streams of `streams-1000` are open from 1 s to 4.9 s after its begin, on an idle machine. */
const ALL_OPEN_AFTER_MS = 3_000;

/** undefined for a side without a process of its own. A run of its own: the collection makes the streams stutter. */
export async function measureHeld(
  scenario: Scenario,
  { side, provider, round }: MeasureOptions,
): Promise<Held | undefined> {
  const inspector = await side.inspector();
  if (inspector === undefined) return undefined;
  const beforeBytes = sum(await inspector.held());
  await provider.configure(scenario.provider);
  const running = load(side, scenario);
  await sleep(ALL_OPEN_AFTER_MS);
  const streams = await provider.active();
  const openBytes = sum(await inspector.held());
  const { errors, examples = [] } = await running;
  return { side: side.name, round, streams, beforeBytes, openBytes, errors, examples };
}

function sum({ usedSize, backingStorageSize = 0 }: HeapUsage): number {
  return usedSize + backingStorageSize;
}
