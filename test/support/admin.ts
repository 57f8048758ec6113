import { Registry } from 'prom-client';
import { runIngress, runLedger } from '../../infra/services.ts';
import type { RunningIngress, RunningService } from '../../infra/services.ts';
import { openDatabase } from '../../services/ledger/database/database.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import { freshDatabase, freshNats } from './fresh.ts';
import { testConfig } from './gateway.ts';

/** An answer of the admin API, read. */
export interface AdminReply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

/** A ledger and an ingress, which is all that the admin API needs. */
export interface AdminGateway {
  readonly url: string;
  readonly db: Database;
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly services: { ledger: RunningService; ingress: RunningIngress };
  /** One request with this token: `ask(token, 'POST', '/teams', { id: 'search' })`. */
  ask(
    token: string,
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<AdminReply>;
  stop(): Promise<void>;
}

/** The configuration's own administrator. */
export const ADMIN_TOKEN = 'sk-sluice-admin-of-the-test';

export async function startAdminGateway(): Promise<AdminGateway> {
  const [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  const plain = testConfig('providers: { simulated: {} }');
  const config = { ...plain, auth: { ...plain.auth, adminKey: ADMIN_TOKEN } };
  const log = createLog('silent', 'test');
  const base = { config, natsUrl: nats.url, clock: systemClock, log };
  const ledger = await runLedger({ ...base, databaseUrl: database.url, registry: new Registry() });
  const ingress = await runIngress({ ...base, registry: new Registry() });
  const db = openDatabase({ url: database.url, log });
  return {
    url: ingress.url,
    db,
    databaseUrl: database.url,
    natsUrl: nats.url,
    services: { ledger, ingress },
    ask: async (token, method, path, body, headers = {}) => {
      const response = await fetch(`${ingress.url}/admin/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && text !== '';
      return {
        status: response.status,
        headers: response.headers,
        body: (isJson ? JSON.parse(text) : { text }) as Record<string, unknown>,
      };
    },
    stop: async () => {
      await ingress.stop(100);
      await ledger.stop();
      await db.destroy();
      await nats.stop();
      await database.drop();
    },
  };
}
