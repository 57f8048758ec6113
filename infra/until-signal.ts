import { constants } from 'node:os';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Resolves when the first SIGTERM or SIGINT has come and `stop` has ended what was under way. A second one ends the
 * process at once: whoever sends it has waited long enough.
 */
export async function untilSignal(stop: (signal: NodeJS.Signals) => Promise<void>): Promise<void> {
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    let isStopping = false;
    for (const name of SIGNALS) {
      process.on(name, () => {
        // The exit code of a process that the signal has killed.
        if (isStopping) process.exit(128 + constants.signals[name]);
        isStopping = true;
        resolve(name);
      });
    }
  });
  await stop(signal);
}
