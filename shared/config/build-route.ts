import type { ConfigFile } from './schema.ts';
import { saidOf } from './schema/policy.ts';
import { DEFAULT_POLICY } from './types.ts';
import type { RouteConfig, RoutePolicy, RouterConfig, TargetConfig } from './types.ts';

type RouterFields = ConfigFile['routers'] extends ReadonlyMap<string, infer Fields> ? Fields : never;
type RouteFields = ConfigFile['routes'] extends ReadonlyMap<string, infer Fields> ? Fields : never;
type TargetFields = NonNullable<RouteFields['targets']>[number];

export function buildRoutes(routes: ConfigFile['routes']): RouteConfig[] {
  return Array.from(routes, ([name, route]) => buildRoute(name, route));
}

export function buildRouter(name: string, { fallbacks, routes, ...policy }: RouterFields): RouterConfig {
  const replaced = fallbacks && { fallbacks: fallbacks.map(({ model }) => model) };
  return { name, overrides: { ...saidOf(policy), ...replaced }, routes: buildRoutes(routes) };
}

function buildRoute(name: string, fields: RouteFields): RouteConfig {
  const { targets = [], variants = new Map<string, never>(), fallbacks, complexity, ...policy } = fields;
  return {
    name,
    policy: buildPolicy(policy),
    targets: targets.map(buildTarget),
    variants: Array.from(variants, ([variant, { weight, targets: own }]) => ({
      name: variant,
      weight,
      targets: own.map(buildTarget),
    })),
    fallbacks: fallbacks.map(({ model }) => buildTarget({ model, weight: 1 })),
    complexity,
  };
}

function buildPolicy(fields: Parameters<typeof saidOf>[0]): RoutePolicy {
  const said = saidOf(fields);
  return {
    strategy: said.strategy ?? DEFAULT_POLICY.strategy,
    regions: said.regions,
    timeoutMs: said.timeoutMs,
    onLimit: said.onLimit ?? DEFAULT_POLICY.onLimit,
    onStreamBreak: said.onStreamBreak ?? DEFAULT_POLICY.onStreamBreak,
    onContentFilter: said.onContentFilter ?? DEFAULT_POLICY.onContentFilter,
    hedge: said.hedge?.share === 0 ? undefined : said.hedge,
    maxAttempts: said.maxAttempts ?? DEFAULT_POLICY.maxAttempts,
    maxCostNanoUsd: said.maxCostNanoUsd,
  };
}

function buildTarget({ model: reference, weight, tier }: TargetFields): TargetConfig {
  const slash = reference.indexOf('/');
  return { provider: reference.slice(0, slash), model: reference.slice(slash + 1), weight, tier };
}
