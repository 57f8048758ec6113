import OpenAI from 'openai';
import { SIMULATED } from '../../shared/providers.ts';
import type { LedgerRow, TestGateway, TestGatewayOptions } from './gateway.ts';
import { startTestGateway, TEST_KEY } from './gateway.ts';
import { startProvider } from './provider.ts';
import type { Counters, ScriptedProvider } from './provider.ts';
import type { ErrorObject } from './sse.ts';

/** A provider of the configuration that plays a script; what else it has is as in the configuration file. */
export interface Played {
  readonly script: string;
  readonly [key: string]: unknown;
}

export interface JourneyOptions extends Omit<TestGatewayOptions, 'yaml'> {
  /**
   * By provider name: the script that it plays (`provider/script.ts`), alone or with more of its configuration. Each has
   * the model `m`, and no circuit breaker unless it says so: most tests let one fail over and over. `simulated` is the
   * gateway's own.
   */
  readonly providers: Readonly<Record<string, string | Played>>;
  readonly routes?: Readonly<Record<string, unknown>>;
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly defaults?: string;
  readonly redisUrl?: string;
}

/** A gateway, and one scripted provider that plays all providers of its configuration. */
export interface Journey {
  readonly gateway: TestGateway;
  readonly provider: ScriptedProvider;
  readonly openai: OpenAI;
  /** What the provider counted under this name. */
  counted(name: string): Counters;
  /** Raw bodies that the provider received under this name, oldest first (of the last 1,000 requests). */
  bodies(name: string): Buffer[];
  /** A chat request with one message; `more` adds to its body. */
  chat(model: string, more?: object, init?: RequestInit): Promise<Response>;
  /** The JSON at a path, with the test's key. */
  get(path: string): Promise<unknown>;
  /** The test's key, for requests that none of these makes. */
  readonly headers: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export const PRICE = { input: '1 USD', output: '2 USD' };

export async function startJourney({
  providers,
  routes = {},
  limits = {},
  defaults = 'n=8',
  redisUrl,
  ...options
}: JourneyOptions): Promise<Journey> {
  const provider = await startProvider({ defaults, record: 1_000 });
  const configured = Object.entries(providers).map(([name, played]) => {
    if (name === SIMULATED.name) return [name, {}];
    const { script, ...more } = typeof played === 'string' ? { script: played } : played;
    const url = `${provider.url}/m/up=${name}${script === '' ? '' : `&${script}`}/v1`;
    return [name, { base_url: url, api_key: keyOf(name), models: { m: { price: PRICE } }, breaker: 'off', ...more }];
  });
  // YAML takes JSON as it is.
  const redis = redisUrl === undefined ? '' : `redis: { url: '${redisUrl}' }\n`;
  const yaml = `providers: ${JSON.stringify(Object.fromEntries(configured))}\nroutes: ${JSON.stringify(routes)}\nlimits: ${JSON.stringify(limits)}\n${redis}`;
  const gateway = await startTestGateway({ yaml, ...options });
  const seriesOf = (name: string): Counters[] =>
    Object.entries(provider.stats().byLabelKeyModel).flatMap(([series, counters]) =>
      series.startsWith(`${name}|`) ? [counters] : [],
    );
  const headers = { authorization: `Bearer ${TEST_KEY}` };
  return {
    gateway,
    provider,
    openai: new OpenAI({ baseURL: gateway.baseUrl, apiKey: TEST_KEY, maxRetries: 0 }),
    counted: (name) => sum(seriesOf(name)),
    bodies: (name) =>
      provider.requests().flatMap(({ path, body }) => (new RegExp(`/m/up=${name}[&/]`).test(path) ? [body] : [])),
    chat: (model, more = {}, init) =>
      gateway.post(
        '/v1/chat/completions',
        { model, messages: [{ role: 'user', content: 'Say something.' }], ...more },
        init,
      ),
    get: async (path) => (await fetch(`${gateway.url}${path}`, { headers })).json(),
    headers,
    stop: async () => {
      await gateway.stop();
      await provider.stop();
    },
  };
}

/** The credential of a provider: distinct, so that it can be looked for. */
export function keyOf(name: string): string {
  return `sk-upstream-${name}-0123456789`;
}

export async function errorOf(response: Response): Promise<ErrorObject> {
  return ((await response.json()) as { error: ErrorObject }).error;
}

/** The answer's own name in the ledger. */
export function requestIdOf(response: Response): string {
  const id = response.headers.get('x-request-id');
  if (id === null) throw new Error('an answer without x-request-id');
  return id;
}

/** What matters of a row in most tests. */
export function brief({ deployment, error, finish, output_tokens }: LedgerRow): object {
  return { deployment, error, finish, outputTokens: Number(output_tokens) };
}

function sum(all: readonly Counters[]): Counters {
  const total: Counters = {
    requests: 0,
    promptTokens: 0,
    completionTokens: 0,
    streamsFinished: 0,
    streamsCut: 0,
    abandoned: 0,
  };
  for (const counters of all)
    for (const name of Object.keys(total) as (keyof Counters)[]) total[name] += counters[name];
  return total;
}
