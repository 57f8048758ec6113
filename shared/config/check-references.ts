import { KNOWN_PROVIDERS, SIMULATED, knownProvider } from '../providers.ts';
import type { ConfigPath } from './errors.ts';
import { suggest } from './errors.ts';
import { HEADER_SAFE, isHeaderSafe, isRecord } from './fields.ts';
import { LATER_DIALECTS } from './schema.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface Finding {
  readonly path: ConfigPath;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** Providers that will be known by name once their dialect is. */
const LATER_PROVIDERS = ['anthropic', 'azure', 'bedrock', 'cohere', 'gemini', 'vertex'];

/**
 * What concerns several values at once. Reads the raw file, not the parsed one, so that it finds its problems beside
 * those of single values; whatever has the wrong form is passed over here.
 */
export function checkReferences(file: unknown, env: Env): Finding[] {
  if (!isRecord(file)) return checkEnvKeys({}, env);
  const providers = isRecord(file['providers']) ? file['providers'] : {};
  const routes = isRecord(file['routes']) ? file['routes'] : {};
  return [
    ...checkEnvKeys(providers, env),
    ...entriesOf(providers).flatMap(([name, provider]) => checkProvider(name, provider, env)),
    ...entriesOf(routes).flatMap(([name, route]) => checkRoute(name, route, { providers, env })),
    ...(isRecord(file['auth']) ? checkKeys(file['auth']['keys']) : []),
  ];
}

function entriesOf(map: Record<string, unknown>): [name: string, value: Record<string, unknown>][] {
  return Object.entries(map).map(([name, value]) => [name, isRecord(value) ? value : {}]);
}

function isBlank(value: unknown): boolean {
  return value === undefined || value === null || value === '';
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

interface Surroundings {
  readonly providers: Record<string, unknown>;
  readonly env: Env;
}

function checkRoute(name: string, route: Record<string, unknown>, around: Surroundings): Finding[] {
  const isWeighted = !isBlank(route['strategy']) && route['strategy'] !== 'ordered';
  return ['targets', 'fallbacks'].flatMap((list) => {
    const targets = Array.isArray(route[list]) ? (route[list] as readonly unknown[]) : [];
    return targets.flatMap((target, index) => {
      const path = ['routes', name, list, index];
      const [reference, at] = isRecord(target) ? [target['model'], [...path, 'model']] : [target, path];
      const found = typeof reference === 'string' ? checkTarget(reference, at, around) : [];
      const weight = isRecord(target) ? target['weight'] : undefined;
      if (isWeighted || list === 'fallbacks' || isBlank(weight) || weight === 1) return found;
      return [
        ...found,
        { path: [...path, 'weight'], message: 'has no effect without `strategy: weighted` or `sticky`' },
      ];
    });
  });
}

function checkTarget(reference: string, path: ConfigPath, { providers, env }: Surroundings): Finding[] {
  const slash = reference.indexOf('/');
  if (slash < 1) return [];
  const name = reference.slice(0, slash);
  const model = reference.slice(slash + 1);
  const known = knownProvider(name);
  const isInFile = Object.hasOwn(providers, name);
  const fromEnv = KNOWN_PROVIDERS.filter(({ envKey }) => !isBlank(env[envKey])).map((provider) => provider.name);
  const hasSimulated = name === SIMULATED.name && Object.keys(providers).length === 0 && fromEnv.length === 0;
  if (!isInFile && !fromEnv.includes(name) && !hasSimulated) {
    const message = `there is no provider \`${name}\``;
    if (known !== undefined) return [{ path, message, hint: `set ${known.envKey}, or list it under \`providers\`` }];
    if (name === SIMULATED.name) return [{ path, message, hint: 'list `simulated: {}` under `providers`' }];
    return [{ path, message, hint: suggest(name, [...Object.keys(providers), ...fromEnv]) }];
  }
  const listed = listedModels(name, providers[name]);
  if (listed === undefined || listed.includes(model)) return [];
  return [{ path, message: `the provider \`${name}\` lists no model \`${model}\``, hint: suggest(model, listed) }];
}

/** undefined: the provider's list is not in the file. */
function listedModels(name: string, provider: unknown): string[] | undefined {
  const models = isRecord(provider) && isRecord(provider['models']) ? Object.keys(provider['models']) : [];
  if (name === SIMULATED.name) return [...SIMULATED.models, ...models];
  return models.length === 0 ? undefined : models;
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
