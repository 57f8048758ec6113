import type { Catalog } from '../../../shared/catalog.ts';
import type { OnLimit, PolicyOverrides } from '../../../shared/config/types.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { KeyPolicy } from '../../../shared/messages/key.ts';

export type NamesPolicy = Pick<KeyPolicy, 'routes' | 'models' | 'regions'>;

const MAX_SHOWN_CHARS = 200;

/**
 * Whether a key may ask for this name. As soon as its policy names routes or models, only these may be asked for: a route by
 * its name in either list; a model by the name that the client sends, or by `provider/*` where all of its deployments
 * are that provider's; a chain by each of its models.
 * @param via the named router it comes through
 */
export function isAllowedName(policy: NamesPolicy, name: string, catalog: Catalog, via: string | undefined): boolean {
  const { routes, models } = policy;
  if (routes === undefined && models === undefined) return true;
  const resolution = catalog.resolve(name, { router: via });
  if (resolution === undefined) return false;
  if (resolution.route !== null) return routes?.includes(name) === true || models?.includes(name) === true;
  if (models === undefined) return false;
  if (models.includes(name)) return true;
  if (resolution.targets.every(({ deployment }) => matches(models, deployment.id))) return true;
  return name.includes(',') && name.split(',').every((part) => isAllowedName(policy, part.trim(), catalog, via));
}

/**
 * Everything that a request names to be served by: its model, and what it says of fallbacks and downgrades.
 * @throws GatewayError(`model_not_allowed`) that names the first that its key may not use
 */
export function refuseForbiddenNames(
  policy: NamesPolicy,
  { model, overrides }: { readonly model: string; readonly overrides: PolicyOverrides | undefined },
  catalog: Catalog,
  via: string | undefined,
): void {
  if (policy.routes === undefined && policy.models === undefined) return;
  const refuse = (name: string, param: string): void => {
    if (isAllowedName(policy, name, catalog, via)) return;
    throw new GatewayError('model_not_allowed', `This key may not use \`${name.slice(0, MAX_SHOWN_CHARS)}\`.`, {
      param,
    });
  };
  refuse(model, 'model');
  for (const name of overrides?.fallbacks ?? []) refuse(name, 'sluice.fallbacks');
  for (const name of downgradesOf(overrides?.onLimit)) refuse(name, 'sluice.on_limit');
}

/**
 * The overrides with the regions that the key is bound to; a request that names regions itself gets those in both.
 * @throws GatewayError(`model_not_allowed`) when none is in both
 */
export function withinRegions(
  { regions: allowed }: NamesPolicy,
  overrides: PolicyOverrides | undefined,
): PolicyOverrides | undefined {
  if (allowed === undefined) return overrides;
  const regions = overrides?.regions?.filter((region) => allowed.includes(region)) ?? allowed;
  if (regions.length > 0 || allowed.length === 0) return { ...overrides, regions };
  throw new GatewayError('model_not_allowed', 'This key may not use these regions.', { param: 'sluice.regions' });
}

function matches(models: readonly string[], id: string): boolean {
  return models.some((model) => (model.endsWith('/*') ? id.startsWith(model.slice(0, -1)) : id === model));
}

function downgradesOf(onLimit: OnLimit | undefined): string[] {
  if (onLimit?.kind === 'downgrade') return [onLimit.to];
  return onLimit?.kind === 'queue' && onLimit.then.kind === 'downgrade' ? [onLimit.then.to] : [];
}
