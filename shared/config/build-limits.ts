import type { z } from 'zod';
import type { LimitTerms } from '../messages/rules.ts';
import type { ScopeName } from '../scope.ts';
import type { ConfigFile } from './schema.ts';
import type { limitTermsFields } from './schema/limits.ts';
import { PATTERNS } from './schema/limits.ts';

type TermsFields = z.output<typeof limitTermsFields>;

/** All limits of the file, whether they stand below `limits`, with a route or with a key; several of one scope all hold. */
export function buildLimits({ limits, routes, routers, auth }: ConfigFile): Map<ScopeName, readonly LimitTerms[]> {
  const keyNames = new Set(auth.keys.map(({ name }) => name));
  const all = new Map<ScopeName, LimitTerms[]>();
  const add = (scope: ScopeName, fields: TermsFields | undefined): void => {
    if (fields !== undefined) all.set(scope, [...(all.get(scope) ?? []), termsOf(fields)]);
  };
  for (const [name, fields] of limits) add(scopeOf(name, keyNames), fields);
  for (const [name, route] of routes) add(`route:${name}`, route.limits);
  for (const router of routers.values()) for (const [name, route] of router.routes) add(`route:${name}`, route.limits);
  for (const { name, limits: own } of auth.keys) add(configuredKey(name), own);
  return all;
}

function scopeOf(name: string, keyNames: ReadonlySet<string>): ScopeName {
  const keyName = name.startsWith('key:') ? name.slice('key:'.length) : undefined;
  if (keyName !== undefined && keyNames.has(keyName)) return configuredKey(keyName);
  return PATTERNS.get(name) ?? name;
}

/** By its id, as its principal has it. */
function configuredKey(name: string): ScopeName {
  return `key:config:${name}`;
}

function termsOf({ requests_per_minute, tokens_per_minute, cost, concurrent, burst }: TermsFields): LimitTerms {
  return {
    ...(requests_per_minute !== undefined && { requestsPerMinute: requests_per_minute }),
    ...(tokens_per_minute !== undefined && { tokensPerMinute: tokens_per_minute }),
    ...(cost !== undefined && { cost: { nanoUsd: cost.amount, perMs: cost.per } }),
    ...(concurrent !== undefined && { concurrent }),
    ...(burst !== undefined && { burst }),
  };
}
