/** What is left in memory after many requests: a leak shows as a heap that grows with them. */
import { settle } from './account.ts';
import { measure } from './measure.ts';
import type { MeasureOptions, Measurement } from './measure.ts';
import { residentBytes } from './proc-cpu.ts';
import { memoryRequests } from './scenarios.ts';

export interface HeapLook {
  /** Sent so far, after the warm-up. */
  readonly requests: number;
  readonly heapBytes: number;
  readonly buffersBytes: number;
  readonly residentBytes: number | undefined;
}

export interface MemoryResult {
  readonly first: HeapLook;
  readonly last: HeapLook;
  readonly load: Measurement['load'];
  readonly left: number;
}

/** Small answers: the provider and the load generator are not what is measured. */
const PROVIDER_SCRIPT = 'n=16';
const CONNECTIONS = 64;

/** The gateway of `side` must be a fresh one, warmed up. */
export async function measureMemory(options: MeasureOptions, isQuick: boolean): Promise<MemoryResult> {
  const { side, provider } = options;
  const [until, total] = memoryRequests(isQuick);
  let left = 0;
  const run = async (requests: number): Promise<Measurement> => {
    const load = { connections: CONNECTIONS, requests };
    const measured = await measure({ name: 'memory', provider: PROVIDER_SCRIPT, load, bodyBytes: 1_000 }, options);
    left += measured.left;
    return measured;
  };
  const look = async (requests: number): Promise<HeapLook> => {
    // What the ledger has not written yet is held, and rightly so.
    await settle('memory', side, provider);
    const heap = await (await side.inspector())?.held();
    const [main] = side.gateway?.roots() ?? [];
    return {
      requests,
      heapBytes: heap?.usedSize ?? NaN,
      buffersBytes: heap?.backingStorageSize ?? NaN,
      residentBytes: main === undefined ? undefined : residentBytes(main),
    };
  };
  await run(until);
  const first = await look(until);
  const { load } = await run(total - until);
  const last = await look(total);
  return { first, last, load, left };
}
