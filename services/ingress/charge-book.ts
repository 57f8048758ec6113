import type { Resolution } from '../../shared/catalog.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import type { Attribution, ScopeName } from '../../shared/scope.ts';
import { scopesOf } from '../../shared/scope.ts';
import { hasTags } from './core/admission-terms.ts';
import type { RulingSlot } from './core/ruling-memory.ts';
import type { AdmittedRequest } from './request.ts';

/** Whom a request is charged to. */
export interface Charged {
  readonly scopes: readonly ScopeName[];
  /** The id of its scope `model:`. */
  readonly modelScope: string;
  /** null: its name is no route's. */
  readonly route: string | null;
  /** For what holds for these scopes. */
  readonly slot: RulingSlot;
}

type Asked = Pick<AdmittedRequest, 'attribution' | 'model' | 'servedAs' | 'principal'>;

/** What a caller's last request under one name was charged to. */
interface Last {
  readonly attribution: Attribution;
  readonly resolution: Resolution | undefined;
  readonly charged: Charged;
}

/** Names of models that are remembered of a caller; then all of its are forgotten. */
const MAX_NAMES = 32;

/**
 * The scopes of requests. A caller's requests mostly fall in the same ones: then they are told by the same object, for as
 * long as the caller is known, and what holds for them need not be looked up by their names.
 */
export class ChargeBook {
  readonly #callers = new WeakMap<Principal, Map<string, Last>>();

  /**
   * The scopes of a request as it is served: by its own name, or by the route that it was downgraded to.
   * @param resolution undefined: nobody knows the name, which a router will say
   */
  chargedOf({ attribution, model, servedAs = model, principal }: Asked, resolution: Resolution | undefined): Charged {
    let names = this.#callers.get(principal);
    const last = names?.get(servedAs);
    if (last !== undefined && last.resolution === resolution && isSame(last.attribution, attribution))
      return last.charged;
    const modelScope = onlyDeploymentOf(resolution) ?? servedAs;
    const route = resolution?.route ?? null;
    const scopes = scopesOf(attribution, { model: modelScope, route });
    const charged: Charged = { scopes, modelScope, route, slot: {} };
    if (names === undefined) this.#callers.set(principal, (names = new Map<string, Last>()));
    else if (names.size >= MAX_NAMES) names.clear();
    names.set(servedAs, { attribution, resolution, charged });
    return charged;
  }
}

/** Of those with tags none are: they mostly differ. */
function isSame(one: Attribution, other: Attribution): boolean {
  return (
    one.user === other.user &&
    one.feature === other.feature &&
    one.organisation === other.organisation &&
    one.team === other.team &&
    one.keyId === other.keyId &&
    !hasTags(one.tags) &&
    !hasTags(other.tags)
  );
}

function onlyDeploymentOf(resolution: Resolution | undefined): string | undefined {
  if (resolution === undefined || resolution.variants.length > 0) return undefined;
  const { targets, fallbacks } = resolution;
  return targets.length + fallbacks.length === 1 ? (targets[0]?.deployment ?? fallbacks[0])?.id : undefined;
}
