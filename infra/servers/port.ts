import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerStartError } from './process.ts';
import type { ServerProcess } from './process.ts';

/** Everything embedded listens here and nowhere else. */
export const LOOPBACK = '127.0.0.1';

const POLL_MS = 10;

/** A port nobody listens on at this moment. Another process may take it before the caller does: be ready to ask again. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, LOOPBACK, () => {
      const address = server.address();
      if (address === null || typeof address === 'string') {
        reject(new Error('the system gave no port'));
        return;
      }
      server.close(() => resolve(address.port));
    });
  });
}

/** Resolves when somebody accepts connections there. */
export async function waitForPort(port: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await accepts(port))) {
    if (performance.now() > deadline) throw new Error(`nothing listens on port ${port} after ${timeoutMs} ms`);
    await sleep(POLL_MS);
  }
}

/**
 * Asks until `probe` succeeds. Throws what the server said last if it ends before that or is not ready in time;
 * `probe` may throw a `ServerStartError` to give up at once.
 */
export async function waitUntilReady<T>(
  server: { readonly name: string; readonly process: ServerProcess; readonly timeoutMs: number },
  probe: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + server.timeoutMs;
  const ended = server.process.exited.then((ending) => Promise.reject(new Error(ending)));
  ended.catch(() => undefined); // looked at below, while a probe is under way
  for (;;) {
    if (server.process.ending !== undefined) {
      throw new ServerStartError(
        `${server.name} ended at start (${server.process.ending}):\n${server.process.lastLines()}`,
      );
    }
    try {
      return await Promise.race([probe(), ended]);
    } catch (cause) {
      if (cause instanceof ServerStartError) throw cause;
      if (performance.now() > deadline) {
        throw new ServerStartError(
          `${server.name} was not ready within ${server.timeoutMs} ms (${String(cause)}):\n${server.process.lastLines()}`,
          { cause },
        );
      }
    }
    await sleep(POLL_MS);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: LOOPBACK });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
