import { loadPriceTable } from '../pricing.ts';
import type { Price } from '../pricing.ts';
import { KNOWN_PROVIDERS, SIMULATED, knownProvider } from '../providers.ts';
import { ConfigFile } from './schema.ts';
import type { Config, ModelConfig, ModelListing, ProviderConfig, RouteConfig, TargetConfig } from './schema.ts';

type ProviderFields = ConfigFile['providers'] extends ReadonlyMap<string, infer Fields> ? Fields : never;
type ModelFields = NonNullable<ProviderFields['models']> extends ReadonlyMap<string, infer Fields> ? Fields : never;
type RouteFields = ConfigFile['routes'] extends ReadonlyMap<string, infer Fields> ? Fields : never;

interface Origin {
  readonly file: string | undefined;
  /** Absolute. */
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The checked file and the environment → the complete Config. Makes no checks of its own. */
export function buildConfig(parsed: ConfigFile, { file, dataDir, env }: Origin): Config {
  const { server, auth } = parsed;
  return deepFreeze({
    file,
    server: {
      host: server.host,
      port: server.port,
      bodyLimitBytes: server.body_limit,
      requestTimeoutMs: server.request_timeout,
      keepAliveMs: server.keep_alive,
    },
    nats: { url: parsed.nats.url },
    database: { url: parsed.database.url },
    redis: { url: parsed.redis.url },
    dataDir,
    auth: { adminKey: auth.admin_key, keys: auth.keys.map(({ name, key, team }) => ({ name, key, team })) },
    providers: buildProviders(parsed.providers, env),
    routes: Array.from(parsed.routes, ([name, route]) => buildRoute(name, route)),
    logging: { level: parsed.logging.level },
  });
}

function buildProviders(listed: ConfigFile['providers'], env: Origin['env']): ProviderConfig[] {
  const fromEnv = KNOWN_PROVIDERS.filter(({ name, envKey }) => env[envKey] && !listed.has(name));
  const providers = [
    ...Array.from(listed, ([name, fields]) => buildProvider(name, fields, env)),
    ...fromEnv.map(({ name }) => buildProvider(name, defaultsOf(name), env)),
  ];
  return providers.length > 0 ? providers : [buildProvider(SIMULATED.name, defaultsOf(SIMULATED.name), env)];
}

/** The fields of a provider of which the file says nothing. */
function defaultsOf(name: string): ProviderFields {
  const fields = ConfigFile.parse({ providers: { [name]: {} } }).providers.get(name);
  if (fields === undefined) throw new Error(`the schema lost the provider ${name}`);
  return fields;
}

function buildProvider(name: string, fields: ProviderFields, env: Origin['env']): ProviderConfig {
  const known = knownProvider(name);
  const apiKey = fields.api_key ?? (known && (env[known.envKey] || undefined));
  const models = modelsOf(name, fields);
  const { connect, first_token: firstToken, between_tokens: betweenTokens, total } = fields.timeouts;
  return {
    name,
    dialect: fields.dialect,
    baseUrl: (fields.base_url ?? known?.baseUrl)?.replace(/\/+$/, ''),
    ...(apiKey !== undefined && { apiKey }),
    models,
    listed: listingOf(name, models),
    concurrency: fields.concurrency,
    timeouts: { connectMs: connect, firstTokenMs: firstToken, betweenTokensMs: betweenTokens, totalMs: total },
  };
}

function modelsOf(
  provider: string,
  { models = new Map<string, ModelFields>() }: ProviderFields,
): ProviderConfig['models'] {
  const builtIn: readonly string[] = provider === SIMULATED.name ? SIMULATED.models : [];
  const bare = builtIn.map((name): [string, ModelConfig] => [
    name,
    deepFreeze({ name, upstream: name, price: { ...SIMULATED.price } }),
  ]);
  return new Map([...bare, ...Array.from(models, ([name, fields]) => [name, buildModel(name, fields)] as const)]);
}

function buildModel(name: string, { upstream = name, price }: ModelFields): ModelConfig {
  return deepFreeze({ name, upstream, ...(price && { price: buildPrice(price) }) });
}

function buildPrice({ input, output, cached_input: cachedInput }: NonNullable<ModelFields['price']>): Price {
  return { input, output, ...(cachedInput !== undefined && { cachedInput }) };
}

function listingOf(name: string, models: ProviderConfig['models']): ModelListing {
  if (models.size > 0) return 'explicit';
  return loadPriceTable().listModels(name).length > 0 ? 'price-table' : 'open';
}

function buildRoute(name: string, { strategy, targets, fallbacks, timeout }: RouteFields): RouteConfig {
  return {
    name,
    strategy,
    targets: targets.map(({ model, weight }) => buildTarget(model, weight)),
    fallbacks: fallbacks.map(({ model }) => buildTarget(model, 1)),
    ...(timeout !== undefined && { timeoutMs: timeout }),
  };
}

function buildTarget(reference: string, weight: number): TargetConfig {
  const slash = reference.indexOf('/');
  return { provider: reference.slice(0, slash), model: reference.slice(slash + 1), weight };
}

/** Plain objects and lists, all the way down; a Map is left as it is, its type says that it is read-only. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Map) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
