import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly registry: Registry;
  /** null: ready; else why not. */
  readonly notReady: () => Promise<string | null>;
}

export interface MetricsServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** `/metrics`, `/health/live` and `/health/ready` of a service that has no HTTP door of its own. */
export async function startMetricsServer({
  host,
  port,
  registry,
  notReady,
}: MetricsServerOptions): Promise<MetricsServer> {
  const answer = async (path: string): Promise<{ status: number; type: string; body: string }> => {
    const json = (status: number, body: object) => ({ status, type: 'application/json', body: JSON.stringify(body) });
    switch (path) {
      case '/metrics':
        return { status: 200, type: registry.contentType, body: await registry.metrics() };
      case '/health/live':
        return json(200, { status: 'live' });
      case '/health/ready': {
        const reason = await notReady();
        return reason === null ? json(200, { status: 'ready' }) : json(503, { status: 'not_ready', reason });
      }
      default:
        return json(404, { error: 'Here are /metrics, /health/live and /health/ready.' });
    }
  };
  const server = createServer((request, response) => {
    answer((request.url ?? '').split('?', 1)[0] ?? '').then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { address, family, port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${chosen}`,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
