import { loadPriceTable } from '../pricing.ts';
import type { Price } from '../pricing.ts';
import { KNOWN_PROVIDERS, SIMULATED, knownPrefill, knownProvider } from '../providers.ts';
import type { ConfigFile } from './schema.ts';
import { providersFields } from './schema/providers.ts';
import { DEFAULT_BREAKER } from './types.ts';
import type {
  BreakerConfig,
  HealthCheckConfig,
  LimitsConfig,
  ModelConfig,
  ModelListing,
  ProviderConfig,
} from './types.ts';

type ProviderFields = ConfigFile['providers'] extends ReadonlyMap<string, infer Fields> ? Fields : never;
type ModelFields = NonNullable<ProviderFields['models']> extends ReadonlyMap<string, infer Fields> ? Fields : never;
type Env = Readonly<Record<string, string | undefined>>;

/** A check that is not answered by then has failed; a shorter interval is all the time there is. */
const CHECK_TIMEOUT_MS = 2_000;

/** Those of the file, then those whose key is in the environment; the simulated one where there are none. */
export function buildProviders(listed: ConfigFile['providers'], env: Env): ProviderConfig[] {
  const fromEnv = KNOWN_PROVIDERS.filter(({ name, envKey }) => env[envKey] && !listed.has(name));
  const providers = [
    ...Array.from(listed, ([name, fields]) => buildProvider(name, fields, env)),
    ...fromEnv.map(({ name }) => buildProvider(name, defaultsOf(name), env)),
  ];
  return providers.length > 0 ? providers : [buildProvider(SIMULATED.name, defaultsOf(SIMULATED.name), env)];
}

/** The fields of a provider of which the file says nothing. */
function defaultsOf(name: string): ProviderFields {
  const fields = providersFields.parse({ [name]: {} }).get(name);
  if (fields === undefined) throw new Error(`the schema lost the provider ${name}`);
  return fields;
}

function buildProvider(name: string, fields: ProviderFields, env: Env): ProviderConfig {
  const known = knownProvider(name);
  const apiKey = fields.api_key ?? (known && (env[known.envKey] || undefined));
  const baseUrl = (fields.base_url ?? known?.baseUrl)?.replace(/\/+$/, '');
  const models = modelsOf(name, fields);
  const { connect, first_token: firstToken, between_tokens: betweenTokens, total } = fields.timeouts;
  return {
    name,
    dialect: fields.dialect,
    baseUrl,
    ...(apiKey !== undefined && { apiKey }),
    models,
    listed: listingOf(name, models),
    region: fields.region,
    concurrency: fields.concurrency.max,
    minConcurrency: fields.concurrency.min,
    limits: buildLimits(fields.limits),
    breaker: buildBreaker(fields.breaker),
    healthCheck: buildHealthCheck(fields.health_check),
    prefill: fields.prefill ?? knownPrefill(known, baseUrl),
    outputLimit: fields.output_limit ?? known?.outputLimit ?? 'max_tokens',
    timeouts: { connectMs: connect, firstTokenMs: firstToken, betweenTokensMs: betweenTokens, totalMs: total },
  };
}

function buildLimits(fields: ProviderFields['limits']): LimitsConfig {
  return { requestsPerMinute: fields.requests_per_minute, tokensPerMinute: fields.tokens_per_minute };
}

function buildBreaker(fields: ProviderFields['breaker']): BreakerConfig | undefined {
  if (fields === 'off') return undefined;
  return {
    consecutiveFailures: fields.consecutive_failures,
    failureRatio: fields.failure_ratio,
    windowMs: fields.window,
    minRequests: fields.min_requests,
    openForMs: fields.open_for,
    slowCallMs: fields.slow_call,
    slowRatio: fields.slow_ratio ?? DEFAULT_BREAKER.slowRatio,
  };
}

function buildHealthCheck(fields: ProviderFields['health_check']): HealthCheckConfig | undefined {
  if (fields === undefined) return undefined;
  const { every, timeout = Math.min(CHECK_TIMEOUT_MS, every), path } = fields;
  return { everyMs: every, timeoutMs: timeout, path };
}

function modelsOf(
  provider: string,
  { models = new Map<string, ModelFields>() }: ProviderFields,
): ProviderConfig['models'] {
  const builtIn: readonly string[] = provider === SIMULATED.name ? SIMULATED.models : [];
  const bare = builtIn.map((name): [string, ModelConfig] => [
    name,
    buildModel(name, { price: { ...SIMULATED.price }, limits: {} }),
  ]);
  return new Map([...bare, ...Array.from(models, ([name, fields]) => [name, buildModel(name, fields)] as const)]);
}

function buildModel(name: string, fields: ModelFields): ModelConfig {
  const { upstream = name, price, limits, concurrency, capabilities, context: contextTokens } = fields;
  return {
    name,
    upstream,
    ...(price && { price: buildPrice(price) }),
    limits: buildLimits(limits),
    concurrency,
    capabilities,
    contextTokens,
  };
}

function buildPrice({ input, output, cached_input: cachedInput }: NonNullable<ModelFields['price']>): Price {
  return { input, output, ...(cachedInput !== undefined && { cachedInput }) };
}

function listingOf(name: string, models: ProviderConfig['models']): ModelListing {
  if (models.size > 0) return 'explicit';
  return loadPriceTable().listModels(name).length > 0 ? 'price-table' : 'open';
}
