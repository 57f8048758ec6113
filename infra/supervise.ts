import { setTimeout as sleep } from 'node:timers/promises';
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
/** A server that ran for this long before it ended is started again at once: the wait begins anew. */
const SETTLED_MS = 30_000;

/**
 * Starts an embedded server, and starts it again on the same port when it ends unasked (killed, out of memory): its
 * clients reconnect by themselves. At once the first time, then after longer and longer waits; it never gives up: the
 * gateway says 503 meanwhile.
 */
export async function supervise<S extends Supervisable>(
  name: string,
  start: (port: number | undefined) => Promise<S>,
  log: Log,
): Promise<Supervised<S>> {
  const stopping = new AbortController();
  const { signal } = stopping;
  let current = await start(undefined);
  let restarting: Promise<void> = Promise.resolve();
  let waitMs = 0;

  const watch = (server: S): void => {
    const startedAt = performance.now();
    void server.exited.then((how) => {
      if (signal.aborted) return;
      log.error({ server: name, how }, 'embedded server ended unasked; it is started again');
      if (performance.now() - startedAt > SETTLED_MS) waitMs = 0;
      restarting = restart();
    });
  };
  const restart = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await sleep(waitMs, undefined, { signal });
        waitMs = Math.min(MAX_WAIT_MS, Math.max(FIRST_WAIT_MS, waitMs * 2));
        // What it held ends with it, above all its lock on the data folder: we are the process that holds it.
        await current.stop();
        current = await start(current.port);
        log.warn({ server: name, port: current.port }, 'embedded server runs again');
        watch(current);
        return;
      } catch (failure) {
        if (!signal.aborted) log.error({ server: name, err: failure }, 'embedded server did not start');
      }
    }
  };
  watch(current);

  return {
    get current() {
      return current;
    },
    stop: async () => {
      stopping.abort();
      await restarting;
      await current.stop();
    },
  };
}
