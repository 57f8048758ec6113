import { describe, expect, test } from 'vitest';
import { SILENT_AFTER_MS } from '../../shared/messages/beat.ts';
import { WorkerWatch } from './worker-watch.ts';

function make(): {
  watch: WorkerWatch;
  pinged: string[];
  gone: string[];
  at: (ms: number, stalledMs?: number) => void;
} {
  let now = 0;
  const pinged: string[] = [];
  const gone: string[] = [];
  const watch = new WorkerWatch({
    clock: { now: () => now, epochMs: () => now },
    ping: (worker) => pinged.push(worker),
    onGone: (worker) => gone.push(worker),
  });
  const at = (ms: number, stalledMs = 0): void => watch.sweep((now = ms), stalledMs);
  return { watch, pinged, gone, at };
}

const beat = (worker: string, ...pools: string[]): Parameters<WorkerWatch['onBeat']>[0] => ({
  ...{ v: 1, worker, isDraining: false, deployments: [] },
  pools: pools.map((pool) => ({ pool, capacity: 1, inFlight: 0 })),
});

describe('whether workers live', () => {
  test('those with attempts are pinged at every look, others never', () => {
    const { watch, pinged, at } = make();
    watch.onBeat(beat('idle', 'p'));
    watch.began('busy');
    watch.began('done');
    watch.ended('done');
    at(50);
    at(100);
    expect(pinged).toEqual(['busy', 'busy']);
  });

  test('one that comes back with a new connection has lost what it had, and lives', () => {
    const { watch, gone } = make();
    watch.onBeat({ ...beat('w', 'p'), connection: 1 });
    watch.onBeat({ ...beat('w', 'p'), connection: 1 });
    expect(gone).toEqual([]);
    watch.onBeat({ ...beat('w', 'p'), connection: 2 });
    expect({ gone, pools: watch.pools() }).toEqual({ gone: ['w'], pools: new Set(['p']) });
  });

  test('after a loss of our own connection a worker’s new one is no news', () => {
    const { watch, gone } = make();
    watch.onBeat({ ...beat('w', 'p'), connection: 1 });
    watch.onBrokerGone();
    watch.onBeat({ ...beat('w', 'p'), connection: 2 });
    expect(gone).toEqual([]);
  });

  test('one that is silent for too long is gone, once', () => {
    const { watch, gone, at } = make();
    watch.began('w');
    at(SILENT_AFTER_MS);
    expect(gone).toEqual([]);
    at(SILENT_AFTER_MS + 1);
    at(SILENT_AFTER_MS + 51);
    expect(gone).toEqual(['w']);
  });

  test('a frame, or a beat, is a sign of life', () => {
    const { watch, gone, at } = make();
    watch.began('frames');
    watch.began('beats');
    at(800);
    watch.heard('frames');
    watch.onBeat(beat('beats'));
    at(SILENT_AFTER_MS + 100);
    expect(gone).toEqual([]);
  });

  test('nobody is blamed for the time in which we were deaf', () => {
    const { watch, gone, at } = make();
    watch.began('w');
    at(5_000, 4_950);
    at(5_050);
    expect(gone).toEqual([]);
    at(6_000);
    expect(gone).toEqual(['w']);
  });

  test('what the broker says is gone is gone at once, and known again by its next beat', () => {
    const { watch, gone } = make();
    watch.onBeat(beat('w', 'a', 'b'));
    watch.onBeat(beat('v', 'b', 'c'));
    expect(watch.pools()).toEqual(new Set(['a', 'b', 'c']));
    watch.remove('w');
    watch.remove('w');
    watch.remove('nobody');
    expect(gone).toEqual(['w']);
    expect(watch.pools()).toEqual(new Set(['b', 'c']));
    watch.onBeat(beat('w', 'a'));
    expect(watch.pools()).toContain('a');
  });
});
