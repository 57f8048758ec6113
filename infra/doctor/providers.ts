import type { ProviderConfig } from '../../shared/config.ts';
import { KNOWN_PROVIDERS, SIMULATED } from '../../shared/providers.ts';
import { reasonOf } from '../unreachable.ts';
import { fail, ok, warn } from './check.ts';
import type { Check, Patient } from './check.ts';

const CONNECT_TIMEOUT_MS = 5_000;

/** One line for each; asked over the network only with `isOnline`. */
export async function checkProviders({ config }: Patient, isOnline: boolean): Promise<Check[]> {
  return Promise.all(config.providers.map((provider) => checkProvider(provider, isOnline)));
}

async function checkProvider(provider: ProviderConfig, isOnline: boolean): Promise<Check> {
  const { baseUrl, apiKey } = provider;
  const name = `provider ${provider.name}`;
  if (provider.name === SIMULATED.name || baseUrl === undefined)
    return ok(name, `built in: ${SIMULATED.models.join(', ')}`);
  const known = KNOWN_PROVIDERS.find((candidate) => candidate.name === provider.name);
  if (known !== undefined && known.baseUrl === baseUrl && apiKey === undefined) {
    return warn(name, `${baseUrl}: no API key`, `set ${known.envKey}, or providers.${provider.name}.api_key`);
  }
  const key = apiKey === undefined ? 'no API key' : 'with an API key';
  if (!isOnline) return ok(name, `${baseUrl}, ${key} (--online asks whether it answers)`);
  try {
    // Any answer will do: without a key and a model there is nothing to succeed in.
    const { status } = await fetch(baseUrl, {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS),
    });
    return ok(name, `${baseUrl} answers (HTTP ${status}), ${key}`);
  } catch (failure) {
    return fail(name, `${baseUrl}: ${reasonOf(failure)}`, 'check the network, a proxy in between, and base_url');
  }
}
