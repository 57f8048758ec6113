import { KNOWN_PROVIDERS, SIMULATED, knownProvider } from '../providers.ts';
import type { ConfigPath } from './errors.ts';
import { suggest } from './errors.ts';
import { isRecord } from './fields.ts';
import { isBlank } from './raw-file.ts';
import type { Finding } from './raw-file.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export interface Surroundings {
  /** As the file has them. */
  readonly providers: Record<string, unknown>;
  readonly env: Env;
}

/** That there is such a provider, with such a model. */
export function checkTarget(reference: string, path: ConfigPath, { providers, env }: Surroundings): Finding[] {
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
