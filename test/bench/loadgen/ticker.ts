/** Worker thread of the open loop: gets a time (Unix ms with fractions), sleeps until then, says so. */
import { parentPort, workerData } from 'node:worker_threads';

const never = workerData as Int32Array;

parentPort?.on('message', (unixMs: number) => {
  const waitMs = unixMs - (performance.timeOrigin + performance.now());
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  parentPort?.postMessage(0);
});
parentPort?.postMessage(0);
