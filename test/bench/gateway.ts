/** Sluice as `npm start` runs it, or each service as a process of its own, with a provider that is ours. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readRunningGateway } from '../../infra/running-gateway.ts';
import { defaultCacheDir } from '../../infra/servers/cache-dir.ts';
import { startNats } from '../../infra/servers/nats.ts';
import { freePort } from '../../infra/servers/port.ts';
import { withConnection } from '../../infra/servers/postgres-database.ts';
import { startPostgres } from '../../infra/servers/postgres.ts';
import { createLog } from '../../shared/log.ts';
import type { Child } from './child.ts';
import { startNode } from './child.ts';
import { Inspector } from './inspector.ts';
import type { BenchProvider, ProviderCounts } from './provider.ts';

export interface GatewayOptions {
  readonly provider: BenchProvider;
  /** Each service a process, as scaled out; else all in one, as `npm start`. */
  readonly isScaledOut: boolean;
  /** The nats-server to run; undefined: the one that a start finds. */
  readonly natsBinary: string | undefined;
  /** So many providers beside the one of the figures that take every request and answer none. */
  readonly hanging?: number;
  /** Limits and hard budgets at every scope, none of which is ever used up. */
  readonly hasRules?: boolean;
}

/** What the gateway's own ledger says of the provider of the figures. */
export type LedgerCounts = ProviderCounts;

export interface BenchGateway {
  readonly url: string;
  readonly key: string;
  readonly providerKey: string;
  readonly model: string;
  /** The n-th provider that hangs, from 1. */
  hanging(n: number): Hanging;
  /** The processes under which everything of it runs. */
  roots(): number[];
  /** Into its main process: the only one, or the ingress. */
  inspector(): Promise<Inspector>;
  ledger(): Promise<LedgerCounts>;
  /** Requests that it holds, by its own metrics. */
  inFlight(): Promise<number>;
  versions(): Promise<{ nats: string; postgres: string }>;
  stop(): Promise<void>;
}

export interface Hanging {
  readonly model: string;
  /** The key that it sees. */
  readonly providerKey: string;
  /** How often its breaker has opened; undefined where the workers' metrics are not the ingress's. */
  breakerOpened(): Promise<number | undefined>;
}

interface Running {
  readonly url: string;
  readonly natsUrl: string;
  readonly databaseUrl: string;
  readonly main: Child;
  readonly roots: readonly number[];
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
const KEY = 'sk-sluice-of-the-benchmark';
const PROVIDER = 'mock';
const MODEL = `${PROVIDER}/gpt-4o-mini`;
/**
 * At 50 requests/s its slots are all taken after 1.3 s, none is free before 2 s, and 32/s are from then on: a line forms.
 * Its breaker is the default one.
 */
const HANGING = { concurrency: 64, timeouts: { first_token: '2s', total: '2s' } };
const CLI = fileURLToPath(new URL('../../infra/sluice.ts', import.meta.url));
let started = 0;

export async function startGateway(options: GatewayOptions): Promise<BenchGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  // Each gateway has a key of its own at the provider, so that its ledger can be compared with what came there.
  const providerKey = `sk-gateway-${++started}`;
  try {
    const running = await (options.isScaledOut ? startServices : startWhole)(folder, providerKey, options);
    let inspector: Inspector | undefined;
    return {
      url: running.url,
      key: KEY,
      providerKey,
      model: MODEL,
      hanging: (n) => {
        const model = `${hangingName(n)}/gpt-4o-mini`;
        const breakerOpened = (): Promise<number | undefined> => readBreakerOpened(running.url, model);
        return { model, providerKey: hangingKey(providerKey), breakerOpened };
      },
      roots: () => [...running.roots],
      inspector: async () => (inspector ??= await Inspector.open(running.main)),
      ledger: () => readLedger(running.databaseUrl),
      inFlight: () => readInFlight(running.url),
      versions: async () => ({
        nats: await natsVersion(running.natsUrl),
        postgres: await postgresVersion(running.databaseUrl),
      }),
      stop: async () => {
        inspector?.close();
        await running.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (failure) {
    await rm(folder, { recursive: true, force: true });
    throw failure;
  }
}

async function startWhole(folder: string, providerKey: string, options: GatewayOptions): Promise<Running> {
  const config = await writeConfig(folder, 0, providerKey, options);
  const main = await startNode('sluice', ['--inspect-port=127.0.0.1:0', CLI, 'start', '--config', config], {
    cwd: folder,
    env: environment(options),
  });
  const stop = (): Promise<void> => main.stop();
  try {
    const found = await until(() => readRunningGateway(join(folder, 'data')), main);
    return { ...found, main, roots: [main.pid], stop };
  } catch (failure) {
    await stop();
    throw failure;
  }
}

async function startServices(folder: string, providerKey: string, options: GatewayOptions): Promise<Running> {
  const undo: Array<() => Promise<void>> = [];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const env = environment(options);
    const dataDir = join(folder, 'data');
    await mkdir(dataDir, { recursive: true });
    const log = createLog('warn', 'bench');
    const nats = await startNats({ dataDir, cacheDir: defaultCacheDir(process.env), log, env });
    undo.push(() => nats.stop());
    const postgres = await startPostgres({ dataDir, log });
    undo.push(() => postgres.stop());
    const port = await freePort();
    const config = await writeConfig(folder, port, providerKey, options);
    const children = new Map<string, Child>();
    for (const role of ['ledger', 'router', 'worker', 'ingress']) {
      const args = ['--inspect-port=127.0.0.1:0', CLI, role, '--config', config];
      const child = await startNode(role, args, {
        cwd: folder,
        env: { ...env, NATS_URL: nats.url, DATABASE_URL: postgres.url },
      });
      children.set(role, child);
      undo.push(() => child.stop());
    }
    const url = `http://127.0.0.1:${port}`;
    const main = children.get('ingress') as Child;
    await until(() => fetch(`${url}/health/ready`).then(({ ok }) => (ok ? true : undefined)), main);
    const roots = [...[...children.values()].map(({ pid }) => pid), nats.pid, postgres.pid];
    return { url, natsUrl: nats.url, databaseUrl: postgres.url, main, roots, stop };
  } catch (failure) {
    await stop();
    throw failure;
  }
}

const hangingName = (n: number): string => `hangs-${n}`;
/** Not the gateway's own, so that the accounts are of what was served. */
const hangingKey = (providerKey: string): string => `${providerKey}-hangs`;

/** JSON is YAML. */
async function writeConfig(
  folder: string,
  port: number,
  apiKey: string,
  { provider, hanging = 0, hasRules = false }: GatewayOptions,
): Promise<string> {
  const file = join(folder, 'sluice.yaml');
  const price = { input: '0.15 USD', output: '0.60 USD' };
  const models = { 'gpt-4o-mini': { price } };
  const mock = { base_url: `${provider.url}/v1`, api_key: apiKey, concurrency: 2_048, models };
  const hangs = {
    base_url: `${provider.url}/m/seq=hang&hang=60000/v1`,
    api_key: hangingKey(apiKey),
    ...HANGING,
    models,
  };
  const others = Array.from({ length: hanging }, (_, i) => [hangingName(i + 1), hangs] as const);
  const config = {
    server: { host: '127.0.0.1', port },
    data_dir: join(folder, 'data'),
    auth: { keys: [{ name: 'bench', key: KEY, team: 'bench', organisation: 'bench', user: 'bench' }] },
    providers: { [PROVIDER]: mock, ...Object.fromEntries(others) },
    logging: { level: 'warn' },
    ...(hasRules ? rulesOf() : {}),
  };
  await writeFile(file, JSON.stringify(config, null, 2));
  return file;
}

/** Of a request of the benchmark: its key has a team, an organisation, a user and tags. */
function rulesOf(): object {
  const terms = { requests_per_minute: 100_000_000, tokens_per_minute: 1_000_000_000_000, concurrent: 100_000 };
  const kinds = ['organisation', 'team', 'user', 'key', 'feature', 'model', 'route'];
  const scopes = ['total', 'organisation:bench', 'team:bench', 'user:bench', 'key:bench', `model:${MODEL}`];
  return {
    limits: { total: terms, ...Object.fromEntries(kinds.map((kind) => [`per_${kind}`, terms])) },
    budgets: scopes.map((scope) => ({ scope, amount: '1000000 USD', per: 'month' })),
  };
}

/** Nothing of this shell's that configures a gateway or names providers. */
function environment({ natsBinary }: GatewayOptions): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'SLUICE_CACHE_DIR', 'XDG_CACHE_HOME', 'NATS_SERVER_BIN'];
  const env = Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  return natsBinary === undefined ? env : { ...env, NATS_SERVER_BIN: natsBinary };
}

async function until<T>(look: () => Promise<T | undefined>, child: Child): Promise<T> {
  const givesUpAt = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    if (child.ending !== undefined) throw new Error(`${child.name} ended (${child.ending}):\n${child.lastLines()}`);
    if (performance.now() > givesUpAt) throw new Error(`${child.name} is not ready:\n${child.lastLines()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function readLedger(databaseUrl: string): Promise<LedgerCounts> {
  return withConnection(databaseUrl, async (client) => {
    const { rows } = await client.query<{ requests: string; input: string; output: string }>(
      'select count(*) as requests, coalesce(sum(input_tokens), 0) as input, coalesce(sum(output_tokens), 0) as output from attempts where provider = $1',
      [PROVIDER],
    );
    const [row] = rows;
    return { requests: Number(row?.requests), promptTokens: Number(row?.input), completionTokens: Number(row?.output) };
  });
}

async function readInFlight(url: string): Promise<number> {
  return Number(/^sluice_requests_in_flight (\d+)/m.exec(await readMetrics(url))?.[1]);
}

async function readBreakerOpened(url: string, deployment: string): Promise<number | undefined> {
  const text = await readMetrics(url);
  const line = text.split('\n').find((one) => one.includes(`deployment="${deployment}",to="open"`));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

async function readMetrics(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

async function postgresVersion(databaseUrl: string): Promise<string> {
  return withConnection(databaseUrl, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version ?? '';
  });
}

/** The server's first line, before any login, says it. */
function natsVersion(natsUrl: string): Promise<string> {
  const { hostname, port } = new URL(natsUrl);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(/"version":"([^"]+)"/.exec(data.toString('latin1'))?.[1] ?? '');
    });
  });
}
