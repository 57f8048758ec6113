import type { Resolution } from '../../../shared/catalog.ts';
import type { Account } from '../../../shared/messages/account.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { scopesOf } from '../../../shared/scope.ts';
import type { AdmittedRequest } from '../request.ts';

/** Whom a request is charged to. */
export interface Charged {
  readonly scopes: readonly ScopeName[];
  /** The id of its scope `model:`. */
  readonly modelScope: string;
  /** null: its name is no route's. */
  readonly route: string | null;
}

/**
 * The scopes of a request as it is served: by its own name, or by the route that it was downgraded to.
 * @param resolution undefined: nobody knows the name, which a router will say
 */
export function chargedOf(
  { attribution, model, servedAs }: Pick<AdmittedRequest, 'attribution' | 'model' | 'servedAs'>,
  resolution: Resolution | undefined,
): Charged {
  const modelScope = onlyDeploymentOf(resolution) ?? servedAs ?? model;
  const route = resolution?.route ?? null;
  return { scopes: scopesOf(attribution, { model: modelScope, route }), modelScope, route };
}

/** What the worker and the ledger are told of that; undefined when the key says it all. */
export function accountOf(
  { attribution, model, principal }: Pick<AdmittedRequest, 'attribution' | 'model' | 'principal'>,
  { modelScope, isBudgeted }: { readonly modelScope: string; readonly isBudgeted: boolean },
  admittedEpochMs: number,
): Account | undefined {
  const { organisation, user, feature, session, tags } = attribution;
  const hasTags = hasAny(tags);
  const isPlain =
    !isBudgeted &&
    modelScope === model &&
    organisation === (principal.organisation ?? null) &&
    user === (principal.user ?? null) &&
    feature === null &&
    session === null &&
    !hasTags;
  if (isPlain) return undefined;
  // Made up field by field: spreading each takes five times as long.
  const account: Account = { admittedEpochMs };
  // The key's own need not be said.
  if (organisation !== null && organisation !== principal.organisation) account.organisation = organisation;
  if (user !== null && user !== principal.user) account.user = user;
  if (feature !== null) account.feature = feature;
  if (session !== null) account.session = session;
  if (hasTags) account.tags = { ...tags };
  if (modelScope !== model) account.modelScope = modelScope;
  return account;
}

function onlyDeploymentOf(resolution: Resolution | undefined): string | undefined {
  if (resolution === undefined || resolution.variants.length > 0) return undefined;
  const { targets, fallbacks } = resolution;
  return targets.length + fallbacks.length === 1 ? (targets[0]?.deployment ?? fallbacks[0])?.id : undefined;
}

function hasAny(tags: Readonly<Record<string, string>>): boolean {
  for (const _ in tags) return true;
  return false;
}
