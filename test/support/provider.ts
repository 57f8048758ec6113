/**
 * A scripted fake of the OpenAI API over raw TCP, for tests and benchmarks: it controls every byte it sends, can fail in
 * every way a provider does, and counts what it sent so that a ledger can be reconciled with it.
 * What it answers is a script, `k=v&k=v` (see `provider/script.ts` for the keys and verdicts). Later sources win:
 * `defaults` < `configure()` < path `/m/<script>/v1/…` < model `name?<script>` < header `x-mock: <script>`.
 */
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { Connection } from './provider/connection.ts';
import { Engine } from './provider/engine.ts';
import type { ProviderStats, RecordedRequest } from './provider/stats.ts';

export type { Abandonment, Counters, ProviderStats, RecordedRequest } from './provider/stats.ts';

export interface ProviderOptions {
  /** TCP port on 127.0.0.1; 0 (the default) takes a free one. */
  readonly port?: number;
  /** Script that `configure` adds to, e.g. `n=64&itl=10`. */
  readonly defaults?: string;
  /** Keep the last N requests for `requests()`; default 100, 0 keeps none (benchmarks). */
  readonly record?: number;
  /** When set, requests without `Authorization: Bearer <requireKey>` get OpenAI's 401. */
  readonly requireKey?: string;
}

export interface ScriptedProvider {
  /** Origin without a path: `http://127.0.0.1:<port>`; the API's base URL is `${url}/v1`. */
  readonly url: string;
  readonly port: number;
  /** Replaces the last configuration (it does not add to it); throws on an unknown key or verdict. */
  configure(script: string): void;
  stats(): ProviderStats;
  /** Zeroes the counters, the positions in `seq` lists and the recorded requests; the configuration stays. */
  reset(): void;
  /** The last requests, oldest first, raw body bytes included. */
  requests(): readonly RecordedRequest[];
  openConnections(): number;
  /** Resolves with the first stats that satisfy the predicate (looked at every 2 ms); rejects after `timeoutMs` (default 5,000). */
  waitFor(predicate: (stats: ProviderStats) => boolean, timeoutMs?: number): Promise<ProviderStats>;
  /** Closes the listener and destroys every connection. */
  stop(): Promise<void>;
}

/** Listens on 127.0.0.1 and answers until `stop()`. Throws when the port is taken or `defaults` has an unknown key. */
export async function startProvider(options: ProviderOptions = {}): Promise<ScriptedProvider> {
  const engine = new Engine({
    defaults: options.defaults ?? '',
    record: options.record ?? 100,
    requireKey: options.requireKey,
  });
  const connections = new Set<Connection>();
  const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
    engine.stats.connectionOpened();
    const connection = new Connection(accepted, server, engine, () => {
      connections.delete(connection);
      engine.stats.connectionClosed();
    });
    connections.add(connection);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port ?? 0, host: '127.0.0.1', backlog: 4096 }, resolve);
  });
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    configure: (script) => engine.configure(script),
    stats: () => engine.stats.snapshot(),
    reset: () => engine.reset(),
    requests: () => engine.recorder.list(),
    openConnections: () => connections.size,
    waitFor: async (predicate, timeoutMs = 5_000) => {
      const givesUpAt = performance.now() + timeoutMs;
      for (;;) {
        const stats = engine.stats.snapshot();
        if (predicate(stats)) return stats;
        if (performance.now() >= givesUpAt) {
          throw new Error(`provider: not reached within ${timeoutMs} ms: ${JSON.stringify(stats)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.destroy();
        engine.stop();
      }),
  };
}
