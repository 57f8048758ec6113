import { z } from 'zod';
import type { LogLevel } from '../log.ts';
import type { Price } from '../pricing.ts';
import { SIMULATED } from '../providers.ts';
import {
  InvalidValue,
  choice,
  duration,
  integer,
  named,
  rate,
  secret,
  section,
  shorthand,
  size,
  text,
  url,
  urlList,
} from './fields.ts';

/** What a user configured, checked and complete: every default is filled in, every cross reference holds. Frozen. */
export interface Config {
  /** Absolute path of the file that was read; undefined when there was none. */
  readonly file: string | undefined;
  readonly server: ServerConfig;
  /** One URL, or several separated by commas. undefined: an embedded nats-server is started, its store in `dataDir`. */
  readonly nats: { readonly url: string | undefined };
  /** `url` undefined: embedded Postgres in `dataDir`. */
  readonly database: { readonly url: string | undefined };
  /** `url` undefined: limits and cache in process, for one ingress only. */
  readonly redis: { readonly url: string | undefined };
  /** Absolute path. */
  readonly dataDir: string;
  readonly auth: AuthConfig;
  /** Never empty; in the file's order, then those found in the environment. Names are unique. */
  readonly providers: ReadonlyArray<ProviderConfig>;
  /** In the file's order. Names are unique. */
  readonly routes: ReadonlyArray<RouteConfig>;
  readonly logging: { readonly level: LogLevel };
}

export interface ServerConfig {
  readonly host: string;
  /** 0..65535; 0 lets the system choose. */
  readonly port: number;
  readonly bodyLimitBytes: number;
  /** The deadline of a request that names none. */
  readonly requestTimeoutMs: number;
  /** How long a stream may be silent before an SSE comment line is sent. */
  readonly keepAliveMs: number;
}

export interface AuthConfig {
  /** undefined: made at first start. */
  readonly adminKey: string | undefined;
  readonly keys: ReadonlyArray<KeyConfig>;
}

/** A client key as it stands in the file; `name` and `key` are both unique. */
export interface KeyConfig {
  readonly name: string;
  readonly key: string;
  readonly team: string | undefined;
}

export type DialectName = 'openai';

/**
 * Where the list of a provider's models comes from:
 * - `explicit`: `models` is the whole of it, any other model is unknown;
 * - `price-table`: the price table knows this provider's models (`listModels`); others may exist;
 * - `open`: nobody knows; every model name is passed on.
 */
export type ModelListing = 'explicit' | 'price-table' | 'open';

export interface ProviderConfig {
  readonly name: string;
  readonly dialect: DialectName;
  /** Without a slash at its end. undefined only for `simulated`, whose server starts with the process. */
  readonly baseUrl: string | undefined;
  readonly apiKey?: string;
  /** By the name clients use. Empty unless `listed` is `explicit`. */
  readonly models: ReadonlyMap<string, ModelConfig>;
  readonly listed: ModelListing;
  /** Requests in flight at once, per worker process. */
  readonly concurrency: number;
  readonly timeouts: TimeoutsConfig;
}

export interface ModelConfig {
  /** The name clients use, after `provider/`. */
  readonly name: string;
  /** What the provider calls it; the same as `name` unless configured. */
  readonly upstream: string;
  /** The configured price; without it the price table is asked, by provider and `upstream`. */
  readonly price?: Price;
}

export interface TimeoutsConfig {
  readonly connectMs: number;
  /** From the request sent to the first content token of a stream; a plain answer comes all at once, within `totalMs`. */
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
  /** The whole attempt. */
  readonly totalMs: number;
}

export type RouteStrategy = 'ordered' | 'weighted' | 'sticky';

export interface RouteConfig {
  readonly name: string;
  readonly strategy: RouteStrategy;
  /** Never empty. */
  readonly targets: ReadonlyArray<TargetConfig>;
  /** Asked in this order when every target has failed. */
  readonly fallbacks: ReadonlyArray<TargetConfig>;
  /** undefined: the request's own deadline, else `server.requestTimeoutMs`. */
  readonly timeoutMs?: number;
}

export interface TargetConfig {
  readonly provider: string;
  readonly model: string;
  /** A positive integer; 1 unless configured. */
  readonly weight: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** Longer waits are mistakes, and setTimeout ends at 2^31 ms. */
const LONGEST = 7 * 24 * 60 * MINUTE;

const DEFAULTS = {
  /** This machine only: who opens the door to others says so. */
  host: '127.0.0.1',
  port: 8080,
  /** A request with a few images in base64 fits; a body is held in memory once per request in flight. */
  bodyLimitBytes: 32 * 1_024 ** 2,
  /** OpenAI's SDKs give up after 10 minutes. */
  requestTimeoutMs: 10 * MINUTE,
  /** Half of 30 s: proxies and load balancers cut connections that are silent for about 30 to 60 s. */
  keepAliveMs: 15 * SECOND,
  dataDir: '.sluice',
  /** Per provider and worker process: bounds the sockets and memory that one slow provider can hold. Chosen, not measured. */
  concurrency: 256,
  /** A TCP and TLS handshake takes well under a second anywhere on earth; 5 s allow for two lost packets. */
  connectMs: 5 * SECOND,
  /** Long prompts and reasoning models are silent for tens of seconds; who waits longer configures it. */
  firstTokenMs: MINUTE,
  /** A model that thinks between two chunks is silent for as long as before the first. */
  betweenTokensMs: MINUTE,
  /** As `requestTimeoutMs`: an attempt outlives no request. */
  totalMs: 10 * MINUTE,
} as const;

export const LATER_DIALECTS = ['anthropic', 'azure-openai', 'bedrock', 'cohere', 'gemini', 'openai-responses'] as const;
export const LATER_STRATEGIES = ['peak_ewma', 'cheapest', 'complexity'] as const;

const wait = { min: 1, max: LONGEST };

const serverFields = section({
  host: text().default(DEFAULTS.host),
  port: integer({ min: 0, max: 65_535 }).default(DEFAULTS.port),
  body_limit: size({ min: 1_024, max: 1_024 ** 3 }).default(DEFAULTS.bodyLimitBytes),
  request_timeout: duration({ min: SECOND, max: LONGEST }).default(DEFAULTS.requestTimeoutMs),
  keep_alive: duration({ min: SECOND, max: 10 * MINUTE }).default(DEFAULTS.keepAliveMs),
});

const keyFields = section({ name: text(), key: secret(), team: text().optional() }, ['budget']);

const authFields = section(
  { admin_key: secret().optional(), keys: z.array(keyFields, { error: 'must be a list' }).default([]) },
  ['allow_anonymous'],
);

const priceFields = section({ input: rate(), output: rate(), cached_input: rate().optional() });

const modelFields = section({ upstream: text().optional(), price: priceFields.optional() });

const timeoutFields = section({
  connect: duration(wait).default(DEFAULTS.connectMs),
  first_token: duration(wait).default(DEFAULTS.firstTokenMs),
  between_tokens: duration(wait).default(DEFAULTS.betweenTokensMs),
  total: duration(wait).default(DEFAULTS.totalMs),
});

const poolShape = {
  models: named(checkModelName, () => modelFields).optional(),
  concurrency: integer({ min: 1, max: 100_000 }).default(DEFAULTS.concurrency),
  timeouts: timeoutFields.prefault({}),
};

const providerFields = section(
  {
    dialect: choice(['openai'], LATER_DIALECTS).default('openai'),
    base_url: url(['http', 'https'], checkBaseUrl).optional(),
    api_key: secret().optional(),
    ...poolShape,
  },
  ['api_keys', 'region', 'limits', 'breaker', 'health_check'],
);

/** What the simulated provider has none of is not a key of it. */
const simulatedFields = section(poolShape, ['limits', 'breaker']).transform(
  (pool): z.output<typeof providerFields> => ({ ...pool, dialect: 'openai' }),
);

/** `provider/model`, or a map with more to say. */
const reference = text(checkTarget);
const targetFields = shorthand(
  reference.transform((model) => ({ model, weight: 1 })),
  section({ model: reference, weight: integer({ min: 1, max: 1_000_000 }).default(1) }),
);
const fallbackFields = shorthand(
  reference.transform((model) => ({ model })),
  section({ model: reference }),
);

const routeFields = section(
  {
    strategy: choice(['ordered', 'weighted', 'sticky'], LATER_STRATEGIES).default('ordered'),
    targets: z
      .array(targetFields, { error: (issue) => (issue.input === undefined ? 'is required' : 'must be a list') })
      .min(1, 'must name at least one target'),
    fallbacks: z.array(fallbackFields, { error: 'must be a list' }).default([]),
    timeout: duration(wait).optional(),
  },
  ['on_limit', 'on_stream_break', 'cache', 'guardrails', 'regions', 'limits'],
);

/** The file as the user writes it, checked value by value; what concerns several values is in check-references.ts. */
export const ConfigFile = section(
  {
    server: serverFields.prefault({}),
    nats: section({ url: urlList(['nats', 'tls']).optional() }).prefault({}),
    database: section({ url: url(['postgres', 'postgresql']).optional() }).prefault({}),
    redis: section({ url: url(['redis', 'rediss']).optional() }).prefault({}),
    data_dir: text().default(DEFAULTS.dataDir),
    auth: authFields.prefault({}),
    providers: named(checkProviderName, (name) =>
      name === SIMULATED.name ? simulatedFields : providerFields,
    ).prefault({}),
    routes: named(checkRouteName, () => routeFields).prefault({}),
    logging: section({
      level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
      payloads: choice(['none'], ['redacted', 'full']).default('none'),
    }).prefault({}),
  },
  ['guardrails', 'limits', 'budgets', 'telemetry'],
);
export type ConfigFile = z.output<typeof ConfigFile>;

function checkProviderName(name: string): void {
  if (!/^[A-Za-z0-9][\w-]*$/.test(name)) throw new InvalidValue('a provider name consists of letters, digits, - and _');
}

function checkRouteName(name: string): void {
  if (name === '' || /[/,\s]/.test(name)) throw new InvalidValue('a route name must not contain `/`, `,` or spaces');
}

function checkModelName(name: string): void {
  if (name === '' || /[,\s]/.test(name)) throw new InvalidValue('a model name must not contain `,` or spaces');
}

function checkTarget(reference: string): void {
  if (!/^[^/,\s]+\/[^,\s]+$/.test(reference))
    throw new InvalidValue(`"${reference}" is not of the form provider/model`);
}

function checkBaseUrl({ username, password, search, hash }: URL): void {
  if (username !== '' || password !== '') throw new InvalidValue('must not contain credentials', 'use `api_key`');
  if (search !== '' || hash !== '') throw new InvalidValue('must not contain `?` or `#`: paths are appended to it');
}
