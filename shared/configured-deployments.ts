import type { Catalog } from './catalog.ts';
import type { Config } from './config.ts';

/**
 * Ids of the deployments that the configuration names: the models of providers that list theirs, and whatever routes name,
 * in the file's order. Those that a provider merely may have (`listed` other than `explicit`) are thousands.
 */
export function configuredDeployments({
  providers,
  routes,
  routers,
}: Pick<Config, 'providers' | 'routes' | 'routers'>): string[] {
  const ids = new Set<string>();
  for (const { name, models } of providers) for (const model of models.keys()) ids.add(`${name}/${model}`);
  for (const { targets, variants, fallbacks } of [...routes, ...routers.flatMap((router) => router.routes)]) {
    const all = [...targets, ...variants.flatMap((variant) => variant.targets), ...fallbacks];
    for (const { provider, model } of all) ids.add(`${provider}/${model}`);
  }
  return [...ids];
}

/** Every deployment that has a name a client may send, the price table's too. */
export function listedDeployments(catalog: Catalog): string[] {
  return catalog.models().flatMap(({ id }) => (catalog.deployment(id) === undefined ? [] : [id]));
}
