import type { Catalog, Resolution, ResolveOptions } from '../../shared/catalog.ts';
import type { RoutePolicy } from '../../shared/config.ts';
import { DEFAULT_POLICY } from '../../shared/config.ts';
import { RetryBudget } from '../../shared/retry-budget.ts';
import { RecentlyUsed } from './core/recently-used.ts';
import type { AdmittedRequest } from './request.ts';

/** Retries, as a share of the requests; and what little traffic may do besides. */
const RETRIES = { ratio: 0.2, minPerSecond: 10 };
/** Hedges that a route may make each second, whatever its share comes to. */
const MIN_HEDGES_PER_SECOND = 1;
/** What metrics call names that are no route: clients choose them, so they share one label. */
const NO_ROUTE = 'none';
/** Clients choose names: the budgets of the one used the longest ago begin anew beyond this many. */
const MAX_NAMES = 1_024;

/** What holds for the requests of one route at this ingress. */
export interface RouteTerms {
  /** For metrics. */
  readonly label: string;
  readonly policy: RoutePolicy;
  readonly retries: RetryBudget;
  /** undefined: the route does not hedge. */
  readonly hedges: RetryBudget | undefined;
}

/** The policy of each request's route, and the budgets that its requests share. */
export class RouteBook {
  readonly #catalog: Catalog;
  readonly #terms = new RecentlyUsed<RouteTerms>(MAX_NAMES);
  readonly #hedges = new RecentlyUsed<RetryBudget>(MAX_NAMES);
  /** Of names that nobody knows: the router says so. */
  readonly #unknown = termsOf(NO_ROUTE, DEFAULT_POLICY, new RetryBudget(RETRIES), undefined);

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** @param model what the request is served as: the name it came with, or the route it was downgraded to */
  termsOf({ via, overrides }: Pick<AdmittedRequest, 'via' | 'overrides'>, model: string): RouteTerms {
    const name = via === undefined ? model : `${via} ${model}`;
    const usual = this.#terms.get(name) ?? this.#make(name, model, via);
    if (overrides === undefined) return usual;
    const policy = this.#resolve(model, { router: via, overrides })?.policy ?? usual.policy;
    return termsOf(usual.label, policy, usual.retries, this.#hedgesOf(name, policy));
  }

  #make(name: string, model: string, router: string | undefined): RouteTerms {
    const resolution = this.#resolve(model, { router });
    if (resolution === undefined) return this.#unknown;
    const { route, policy } = resolution;
    const terms = termsOf(route ?? NO_ROUTE, policy, new RetryBudget(RETRIES), this.#hedgesOf(name, policy));
    return this.#terms.add(name, terms);
  }

  #resolve(model: string, options: ResolveOptions): Resolution | undefined {
    try {
      return this.#catalog.resolve(model, options);
    } catch {
      // What it names does not exist: the router, which resolves it too, says so.
      return undefined;
    }
  }

  /** Another share than the route's has a budget of its own: it cannot widen the route's. */
  #hedgesOf(name: string, { hedge }: RoutePolicy): RetryBudget | undefined {
    if (hedge === undefined) return undefined;
    const key = `${name} ${hedge.share}`;
    const config = { ratio: hedge.share, minPerSecond: MIN_HEDGES_PER_SECOND };
    return this.#hedges.get(key) ?? this.#hedges.add(key, new RetryBudget(config));
  }
}

function termsOf(
  label: string,
  policy: RoutePolicy,
  retries: RetryBudget,
  hedges: RetryBudget | undefined,
): RouteTerms {
  return { label, policy, retries, hedges };
}
