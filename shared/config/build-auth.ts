import type { ConfigFile } from './schema.ts';
import type { AuthConfig, IssuerConfig, KeyConfig } from './types.ts';

type Parsed = ConfigFile['auth'];

/** Who may ask, from the checked file. */
export function buildAuth({ admin_key: adminKey, secret, keys, jwt }: Parsed): AuthConfig {
  return { adminKey, secret, keys: keys.map(buildKey), jwt: jwt.map(buildIssuer) };
}

function buildKey({ name, key, team, user, organisation, overrides, ...rest }: Parsed['keys'][number]): KeyConfig {
  const { role, expires: expiresEpochMs, routes, models, regions, networks, may_name: mayName } = rest;
  return {
    ...{ name, key, team, user, organisation, overrides },
    policy: {
      ...(role !== undefined && { role }),
      ...(expiresEpochMs !== undefined && { expiresEpochMs }),
      ...(routes !== undefined && { routes }),
      ...(models !== undefined && { models }),
      ...(regions !== undefined && { regions }),
      ...(networks !== undefined && { networks }),
      ...(mayName !== undefined && { mayName }),
      ...(rest.tags.size > 0 && { tags: Object.fromEntries(rest.tags) }),
      ...(rest.log_payloads !== 'none' && { logPayloads: rest.log_payloads }),
    },
  };
}

function buildIssuer({ issuer, name, audience, jwks_url, claims, roles }: Parsed['jwt'][number]): IssuerConfig {
  const { user, team, organisation, role, tags } = claims;
  return {
    ...{ issuer, name: name ?? new URL(issuer).hostname, audience, jwksUrl: jwks_url },
    ...{ claims: { user, team, organisation, role, tags }, roles },
  };
}
