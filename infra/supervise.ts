import type { Log } from '../shared/log.ts';

/** A server that `start` made and that may end by itself. */
export interface Supervisable {
  readonly port: number;
  /** Resolves with how it ended, wanted or not. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
}

export interface Supervised<S> {
  /** The one that runs now, or ran last. */
  readonly current: S;
  stop(): Promise<void>;
}

const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;
/** A server that ran for this long had a fault of its own, not one of its start: the wait begins anew. */
const SETTLED_MS = 30_000;

/**
 * Starts an embedded server, and starts it again on the same port when it ends unasked (killed, out of memory): its
 * clients reconnect by themselves. Waits longer from time to time, and never gives up: the gateway says 503 meanwhile.
 */
export async function supervise<S extends Supervisable>(
  name: string,
  start: (port: number | undefined) => Promise<S>,
  log: Log,
): Promise<Supervised<S>> {
  let current = await start(undefined);
  let isStopping = false;
  let restarting: Promise<void> = Promise.resolve();

  const watch = (server: S): void => {
    const startedAt = performance.now();
    void server.exited.then((how) => {
      if (isStopping) return;
      log.error({ server: name, how }, 'embedded server ended unasked; it is started again');
      restarting = restart(performance.now() - startedAt > SETTLED_MS ? FIRST_WAIT_MS : 0);
    });
  };
  const restart = async (firstWaitMs: number): Promise<void> => {
    for (let waitMs = firstWaitMs; !isStopping; waitMs = Math.min(MAX_WAIT_MS, Math.max(FIRST_WAIT_MS, waitMs * 2))) {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      try {
        // What it held ends with it, above all its lock on the data folder: we are the process that holds it.
        await current.stop();
        current = await start(current.port);
        log.warn({ server: name, port: current.port }, 'embedded server runs again');
        watch(current);
        return;
      } catch (failure) {
        log.error({ server: name, err: failure }, 'embedded server did not start');
      }
    }
  };
  watch(current);

  return {
    get current() {
      return current;
    },
    stop: async () => {
      isStopping = true;
      await restarting;
      await current.stop();
    },
  };
}
