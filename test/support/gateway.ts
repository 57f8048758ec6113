import { Registry } from 'prom-client';
import { withConnection } from '../../infra/servers/postgres-database.ts';
import { runIngress, runLedger, runRouter, runWorker } from '../../infra/services.ts';
import type { RunningIngress, RunningService } from '../../infra/services.ts';
import { KeySecret } from '../../services/ledger/principals/key-secret.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Config } from '../../shared/config.ts';
import { loadConfig } from '../../shared/config.ts';
import { createLog } from '../../shared/log.ts';
import type { Log, LogLevel } from '../../shared/log.ts';
import { freshDatabase, freshNats } from './fresh.ts';
import type { TestNats } from './servers.ts';

export const TEST_KEY = 'sk-test-of-the-journey';
const TEST_SECRET_TEXT = 'the secret of journeys';
/** Under which the gateway's ledger keeps keys: for tests that make some. */
export const testSecret = new KeySecret(TEST_SECRET_TEXT);

export interface TestGatewayOptions {
  /** What a user would write below `providers:` and so on; `auth` and `server` are filled in. */
  readonly yaml: string;
  /** Further keys of `server`, as YAML between braces: `keep_alive: 1s`. */
  readonly server?: string;
  /** Further keys of `auth`, as YAML below it, indented. */
  readonly auth?: string;
  /** A level for the lines on stdout, or a log of the test's own, to read what was logged. */
  readonly log?: LogLevel | Log;
}

/** One row of the ledger. */
export interface LedgerRow {
  readonly attempt_id: string;
  readonly request_id: string;
  readonly attempt: number;
  readonly source: string;
  readonly deployment: string;
  readonly input_tokens: string | number;
  readonly output_tokens: string | number;
  readonly cost_nano_usd: string | null;
  readonly is_estimated: boolean;
  readonly finish: string | null;
  readonly error: string | null;
  /** Attempts of the same request that failed before it. */
  readonly earlier: ReadonlyArray<{ readonly deployment: string; readonly code: string }> | null;
  readonly upstream_status: number | null;
  readonly key_name: string;
  readonly model: string;
  readonly worker: string;
  readonly traceparent: string | null;
}

/** All four services in this process around servers of their own: the real thing, but for the provider. */
export interface TestGateway {
  readonly url: string;
  readonly baseUrl: string;
  readonly config: Config;
  readonly nats: TestNats;
  readonly databaseUrl: string;
  /** A test may put another in the place of one that it has stopped. */
  readonly services: {
    router: RunningService;
    worker: RunningService;
    ledger: RunningService;
    ingress: RunningIngress;
  };
  /** `POST` with the test's key and a JSON body. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  /** Waits until the ledger holds `count` attempts, and answers them in the order in which they began. */
  rows(count: number, timeoutMs?: number): Promise<LedgerRow[]>;
  /** The same for the attempts of one request, first to last. */
  rowsOf(requestId: string, count: number, timeoutMs?: number): Promise<LedgerRow[]>;
  stop(): Promise<void>;
}

export async function startTestGateway({
  yaml,
  server,
  auth,
  log: logTo = 'error',
}: TestGatewayOptions): Promise<TestGateway> {
  const [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  const config = testConfig(yaml, server, auth);
  const log = typeof logTo === 'string' ? createLog(logTo, 'test') : logTo;
  const base = { config, natsUrl: nats.url, clock: systemClock, log, registry: new Registry() };
  const ledger = await runLedger({ ...base, databaseUrl: database.url });
  const [router, worker, ingress] = await Promise.all([runRouter(base), runWorker(base), runIngress(base)]);
  await untilReady(ingress.url);
  const services = { router, worker, ledger, ingress };
  const post = (path: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
    fetch(`${ingress.url}${path}`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
      headers: {
        authorization: `Bearer ${TEST_KEY}`,
        'content-type': 'application/json',
        ...(init.headers as Record<string, string>),
      },
    });
  return {
    url: ingress.url,
    baseUrl: `${ingress.url}/v1`,
    config,
    nats,
    databaseUrl: database.url,
    services,
    post,
    rows: (count, timeoutMs) => ledgerRows(database.url, count, timeoutMs),
    rowsOf: (requestId, count, timeoutMs) => ledgerRows(database.url, count, timeoutMs, requestId),
    stop: async () => {
      await services.ingress.stop(100);
      await services.worker.stop(100);
      await Promise.all([services.router.stop(), services.ledger.stop()]);
      await nats.stop();
      await database.drop();
    },
  };
}

export function testConfig(yaml: string, server = '', auth = ''): Config {
  const text = `auth:\n  secret: ${TEST_SECRET_TEXT}\n  keys: [{ name: test, key: ${TEST_KEY}, team: testers }]\n${auth}\nserver: { port: 0, body_limit: 32MiB, ${server} }\n${yaml}`;
  return loadConfig({ argv: { config: '/test/sluice.yaml' }, env: {}, cwd: '/test', readFile: () => text });
}

/** Waits until `/health/ready` says so. */
export async function untilReady(url: string, timeoutMs = 20_000): Promise<void> {
  const givesUpAt = performance.now() + timeoutMs;
  for (;;) {
    const response = await fetch(`${url}/health/ready`).catch(() => undefined);
    if (response?.ok === true) return;
    if (performance.now() > givesUpAt) throw new Error(`not ready: ${(await response?.text()) ?? 'no answer'}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** @param requestId undefined: the attempts of all requests */
export async function ledgerRows(
  databaseUrl: string,
  count: number,
  timeoutMs = 10_000,
  requestId?: string,
): Promise<LedgerRow[]> {
  const givesUpAt = performance.now() + timeoutMs;
  return withConnection(databaseUrl, async (client) => {
    for (;;) {
      const { rows } = await client.query<LedgerRow & { [column: string]: unknown }>(
        'select * from attempts where $1::text is null or request_id = $1 order by attempt_id',
        [requestId ?? null],
      );
      if (rows.length >= count) return rows;
      if (performance.now() > givesUpAt) throw new Error(`the ledger holds ${rows.length} attempts, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
}
