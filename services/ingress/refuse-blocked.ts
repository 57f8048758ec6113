import type { Catalog } from '../../shared/catalog.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { ScopeName } from '../../shared/scope.ts';
import { scopesOf } from '../../shared/scope.ts';
import type { Caller } from './caller.ts';
import type { AdmittedRequest } from './request.ts';
import type { RuleBook, ScopeRuling } from './rule-book.ts';

/** Every scope that a request falls in by its key and its model. */
export function scopesOfRequest(
  { principal, policy }: Caller,
  { model, via, overrides }: Pick<AdmittedRequest, 'model' | 'via' | 'overrides'>,
  catalog: Catalog,
): ScopeName[] {
  const { keyId, team, organisation = null, user = null } = principal;
  const attribution = { organisation, team, user, keyId, feature: null, session: null, tags: policy.tags ?? {} };
  const resolution = catalog.resolve(model, { router: via, overrides });
  const [target, ...others] = resolution?.targets ?? [];
  const isOne = resolution?.route === null && target !== undefined && others.length === 0;
  return scopesOf(attribution, {
    model: isOne ? target.deployment.id : model,
    route: resolution?.route ?? null,
  });
}

/**
 * The kill switch: throws, or rejects where the ledger must be asked first.
 * @throws GatewayError(`scope_blocked`, `ledger_unavailable`)
 */
export function refuseBlocked(rules: Pick<RuleBook, 'rulesOf'>, scopes: readonly ScopeName[]): void | Promise<void> {
  const ruling = rules.rulesOf(scopes);
  return ruling instanceof Promise ? ruling.then(refuse) : refuse(ruling);
}

function refuse({ blocked }: ScopeRuling): void {
  if (blocked === undefined) return;
  throw new GatewayError('scope_blocked', `Requests of ${blocked.scope} are switched off: ${blocked.reason}`);
}
