import { Registry, collectDefaultMetrics } from 'prom-client';
import { ensureFirstKey } from '../services/ledger/principals/keys.ts';
import { Catalog } from '../shared/catalog.ts';
import { systemClock } from '../shared/clock.ts';
import type { Config } from '../shared/config.ts';
import type { Log } from '../shared/log.ts';
import { loadPriceTable } from '../shared/pricing.ts';
import { banner } from './banner.ts';
import { removeRunningGateway, writeRunningGateway } from './running-gateway.ts';
import { defaultCacheDir } from './servers/cache-dir.ts';
import { startNats } from './servers/nats.ts';
import { startPostgres } from './servers/postgres.ts';
import { runIngress, runLedger, runRouter, runWorker } from './services.ts';
import { supervise } from './supervise.ts';
import { sluiceVersion } from './commands/version.ts';

export interface StartOptions {
  readonly config: Config;
  readonly log: Log;
  readonly env: NodeJS.ProcessEnv;
  /** The monotonic time at which the process began, for the banner. */
  readonly beganAt: number;
}

export interface Gateway {
  readonly url: string;
  /** The key made by this start; null when there was one already. */
  readonly newKey: string | null;
  readonly banner: string;
  /** Drains and stops everything, children too. */
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 15_000;

/**
 * All four services in one process, around the servers that are configured or embedded ones. What was started is
 * stopped again when a later step fails.
 */
export async function startGateway({ config, log, env, beganAt }: StartOptions): Promise<Gateway> {
  const undo: Array<() => Promise<unknown>> = [];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const [nats, postgres] = await settleBoth(natsFor(config, log, env, undo), postgresFor(config, log, env, undo));
    const catalog = new Catalog(config, loadPriceTable());
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const base = { config, natsUrl: nats.url, clock: systemClock, log, registry };
    const ledger = await runLedger({ ...base, databaseUrl: postgres.url });
    undo.push(() => ledger.stop());
    const newKey =
      config.auth.adminKey === undefined ? ((await ensureFirstKey(ledger.db, ledger.secret))?.token ?? null) : null;
    const router = await runRouter(base);
    undo.push(() => router.stop());
    const worker = await runWorker(base);
    undo.push(() => worker.stop());
    const ingress = await runIngress(base);
    undo.push(() => ingress.stop());
    await untilReady(ingress.url);
    await writeRunningGateway(config.dataDir, {
      url: ingress.url,
      natsUrl: nats.url,
      databaseUrl: postgres.url,
      startedAt: new Date().toISOString(),
    });
    undo.push(() => removeRunningGateway(config.dataDir));
    const text = banner({
      version: sluiceVersion(),
      config,
      url: ingress.url,
      readyMs: performance.now() - beganAt,
      newKey,
      nats: nats.describe,
      ledger: postgres.describe,
      models: catalog.models(),
    });
    return { url: ingress.url, newKey, banner: text, stop };
  } catch (failure) {
    await stop();
    throw failure;
  }
}

interface Reached {
  readonly url: string;
  readonly describe: string;
}

type Undo = Array<() => Promise<unknown>>;

async function natsFor({ nats, dataDir }: Config, log: Log, env: NodeJS.ProcessEnv, undo: Undo): Promise<Reached> {
  if (nats.url !== undefined) return { url: nats.url, describe: 'yours (nats.url)' };
  const cacheDir = defaultCacheDir(env);
  const start = (port: number | undefined) =>
    startNats({ dataDir, cacheDir, log, env, ...(port === undefined ? {} : { port }) });
  const server = await supervise('nats-server', start, log);
  undo.push(() => server.stop());
  const { url, version: found, source } = server.current;
  return { url, describe: `nats-server ${found}, embedded (found by ${source}), JetStream on disk` };
}

async function postgresFor(
  { database, dataDir }: Config,
  log: Log,
  env: NodeJS.ProcessEnv,
  undo: Undo,
): Promise<Reached> {
  if (database.url !== undefined) return { url: database.url, describe: 'yours (database.url)' };
  const start = (port: number | undefined) =>
    startPostgres({ dataDir, log, env, ...(port === undefined ? {} : { port }) });
  const server = await supervise('postgres', start, log);
  undo.push(() => server.stop());
  return { url: server.current.url, describe: `Postgres ${server.current.version}, embedded` };
}

/** Waits for both even when one fails, so that what the other started is known and can be stopped. */
async function settleBoth<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'rejected') throw a.reason as Error;
  if (b.status === 'rejected') throw b.reason as Error;
  return [a.value, b.value];
}

/** The services know each other within a heartbeat; before that the first request would be refused. */
async function untilReady(url: string): Promise<void> {
  const givesUpAt = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const response = await fetch(`${url}/health/ready`);
    if (response.ok) return;
    if (performance.now() > givesUpAt) throw new Error(`The gateway did not become ready: ${await response.text()}`);
    await response.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
