import { KNOWN_PROVIDERS, SIMULATED, knownProvider } from '../providers.ts';
import { checkBudgets } from './check-budgets.ts';
import { checkLimits } from './check-limits.ts';
import { checkRoutes } from './check-routes.ts';
import type { Env } from './check-target.ts';
import { suggest } from './errors.ts';
import { HEADER_SAFE, isHeaderSafe, isRecord } from './fields.ts';
import { entriesOf, isBlank } from './raw-file.ts';
import type { Finding } from './raw-file.ts';
import { LATER_DIALECTS } from './schema/providers.ts';

/** Providers that will be known by name once their dialect is. */
const LATER_PROVIDERS = ['anthropic', 'azure', 'bedrock', 'cohere', 'gemini', 'vertex'];

/**
 * What concerns several values at once. Reads the raw file, not the parsed one, so that it finds its problems beside
 * those of single values; whatever has the wrong form is passed over here.
 */
export function checkReferences(file: unknown, env: Env): Finding[] {
  if (!isRecord(file)) return checkEnvKeys({}, env);
  const providers = isRecord(file['providers']) ? file['providers'] : {};
  return [
    ...checkEnvKeys(providers, env),
    ...entriesOf(providers).flatMap(([name, provider]) => checkProvider(name, provider, env)),
    ...checkRoutes(file, { providers, env }),
    ...checkBudgets(file, { providers, env }),
    ...checkLimits(file),
    ...(isRecord(file['auth']) ? [...checkKeys(file['auth']['keys']), ...checkIssuers(file['auth']['jwt'])] : []),
  ];
}

function checkProvider(name: string, provider: Record<string, unknown>, env: Env): Finding[] {
  const path = ['providers', name];
  if (name === SIMULATED.name) return checkSimulated(provider);
  const { dialect, base_url: baseUrl, api_key: apiKey } = provider;
  if (LATER_PROVIDERS.includes(name) && isBlank(dialect)) {
    return [{ path, message: `the provider \`${name}\` is not supported yet` }];
  }
  if (LATER_DIALECTS.some((later) => later === dialect) || !isBlank(baseUrl)) return [];
  const known = knownProvider(name);
  if (known === undefined) {
    const message = `is required, because \`${name}\` is not a provider that Sluice knows`;
    return [{ path: [...path, 'base_url'], message, hint: suggest(name, knownNames()) }];
  }
  if (!isBlank(apiKey) || !isBlank(env[known.envKey]) || !isBlank(provider['api_keys'])) return [];
  return [{ path: [...path, 'api_key'], message: 'is required, because the environment has no ' + known.envKey }];
}

/** The keys that come from the environment without being mentioned in the file. */
function checkEnvKeys(providers: Record<string, unknown>, env: Env): Finding[] {
  return KNOWN_PROVIDERS.flatMap(({ name, envKey }) => {
    const provider = providers[name];
    const isUsed = !isRecord(provider) || isBlank(provider['api_key']);
    const key = env[envKey];
    return isUsed && key && !isHeaderSafe(key) ? [{ path: [envKey], message: HEADER_SAFE }] : [];
  });
}

function checkSimulated(provider: Record<string, unknown>): Finding[] {
  const models = isRecord(provider['models']) ? provider['models'] : {};
  return entriesOf(models).flatMap(([name, model]) => {
    const upstream = isBlank(model['upstream']) ? name : model['upstream'];
    if (SIMULATED.models.some((built) => built === upstream)) return [];
    const message = `must be one of ${SIMULATED.models.join(', ')}`;
    return [{ path: ['providers', SIMULATED.name, 'models', name, 'upstream'], message }];
  });
}

function knownNames(): string[] {
  return [...KNOWN_PROVIDERS.map(({ name }) => name), SIMULATED.name];
}

/** Keys are told apart by their secret and shown by their name: each must be unique. A finding shows no secret. */
function checkKeys(keys: unknown): Finding[] {
  if (!Array.isArray(keys)) return [];
  const names = new Map<unknown, number>();
  const secrets = new Map<unknown, number>();
  return keys.flatMap((entry: unknown, index) => {
    if (!isRecord(entry)) return [];
    const path = ['auth', 'keys', index];
    const found: Finding[] = [];
    const sameName = isBlank(entry['name']) ? undefined : names.get(entry['name']);
    const sameSecret = isBlank(entry['key']) ? undefined : secrets.get(entry['key']);
    if (sameName !== undefined)
      found.push({ path: [...path, 'name'], message: `is the name of auth.keys[${sameName}] too` });
    if (sameSecret !== undefined)
      found.push({ path: [...path, 'key'], message: `is the key of auth.keys[${sameSecret}] too` });
    names.set(entry['name'], sameName ?? index);
    secrets.set(entry['key'], sameSecret ?? index);
    return found;
  });
}

/** A token is checked by the one issuer that it names, and told of by the one name of that: its host's, where it has none. */
function checkIssuers(issuers: unknown): Finding[] {
  if (!Array.isArray(issuers)) return [];
  const seen = new Map<string, number>();
  return issuers.flatMap((entry: unknown, index) => {
    if (!isRecord(entry)) return [];
    const { issuer } = entry;
    const host = typeof issuer === 'string' && URL.canParse(issuer) ? new URL(issuer).hostname : undefined;
    const name = isBlank(entry['name']) ? host : entry['name'];
    return Object.entries({ issuer, name }).flatMap(([key, value]) => {
      if (typeof value !== 'string' || value === '') return [];
      const same = seen.get(`${key} ${value}`);
      seen.set(`${key} ${value}`, same ?? index);
      if (same === undefined) return [];
      const path = ['auth', 'jwt', index, ...(isBlank(entry[key]) ? [] : [key])];
      const message = `${isBlank(entry[key]) ? `its ${key}, ${value},` : ''} is the ${key} of auth.jwt[${same}] too`;
      return [{ path, message: message.trim() }];
    });
  });
}
