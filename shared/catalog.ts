import type {
  ComplexityConfig,
  Config,
  LimitsConfig,
  ModelConfig,
  OutputLimit,
  PolicyOverrides,
  Prefill,
  ProviderConfig,
  RouteConfig,
  RoutePolicy,
  TargetConfig,
  Tier,
} from './config.ts';
import { DEFAULT_POLICY } from './config.ts';
import { GatewayError } from './errors.ts';
import { poolOf } from './pools.ts';
import type { Capability, Price, PriceTable } from './pricing.ts';

/** provider + upstream model: the thing that is called, and that has health. `id` is `provider/model`, as clients may name it. */
export interface Deployment {
  readonly id: string;
  readonly provider: string;
  /** The worker pool that serves it: its provider's, or one of its own. */
  readonly pool: string;
  readonly model: string;
  /** What the provider calls it. */
  readonly upstreamModel: string;
  /** undefined: no price is known. */
  readonly price: Price | undefined;
  /** undefined: nobody says where it runs. */
  readonly region: string | undefined;
  /** undefined: nobody says what it can. */
  readonly capabilities: ReadonlySet<Capability> | undefined;
  /** Input tokens it takes. undefined: nobody says. */
  readonly contextTokens: number | undefined;
  /** Output tokens it makes at most. undefined: nobody says. */
  readonly maxOutputTokens: number | undefined;
  readonly limits: LimitsConfig;
  readonly prefill: Prefill;
  readonly outputLimit: OutputLimit;
}

export interface Target {
  readonly deployment: Deployment;
  readonly weight: number;
  /** For the strategy `complexity`. undefined: for all. */
  readonly tier: Tier | undefined;
}

/** Of a route that is split: one of the sets of targets. */
export interface Variant {
  readonly name: string;
  readonly weight: number;
  readonly targets: readonly Target[];
}

/** What a model name stands for. */
export interface Resolution {
  /** null for a name that is no route. */
  readonly route: string | null;
  readonly policy: RoutePolicy;
  /** Empty when there are variants. */
  readonly targets: readonly Target[];
  readonly variants: readonly Variant[];
  /** Asked in this order when no target can serve. */
  readonly fallbacks: readonly Deployment[];
  readonly complexity: ComplexityConfig;
}

export interface ListedModel {
  readonly id: string;
  readonly ownedBy: string;
}

/** At most this many resolved names are remembered; clients choose the names, so the memory is bounded. */
const MAX_REMEMBERED = 4_096;
/** Models in one chain. */
const MAX_CHAIN = 16;

/** What a name is resolved with, besides itself. */
export interface ResolveOptions {
  /** The named router that the request came through. */
  readonly router?: string | undefined;
  /** What the request itself says of its routing; checked, and allowed to it. */
  readonly overrides?: PolicyOverrides | undefined;
}

/** One namespace of routes: the whole gateway's, or a named router's. */
interface Scope {
  readonly overrides: PolicyOverrides;
  readonly routes: ReadonlyMap<string, Resolution>;
}

/** Names → deployments, from the configuration and the price table. Pure: the same names always give the same answer. */
export class Catalog {
  readonly #providers = new Map<string, ProviderConfig>();
  readonly #routes: ReadonlyMap<string, Resolution>;
  readonly #routers: ReadonlyMap<string, Scope>;
  /** Bare model → the providers that list it, in the configuration's order. */
  readonly #listed = new Map<string, Deployment[]>();
  readonly #deployments = new Map<string, Deployment>();
  readonly #remembered = new Map<string, Resolution>();
  readonly #prices: PriceTable;

  constructor(
    { providers, routes, routers = [] }: Pick<Config, 'providers' | 'routes'> & Partial<Pick<Config, 'routers'>>,
    prices: PriceTable,
  ) {
    this.#prices = prices;
    for (const provider of providers) {
      this.#providers.set(provider.name, provider);
      for (const model of this.#modelsOf(provider)) {
        const deployments = this.#listed.get(model) ?? [];
        deployments.push(this.#make(provider, model));
        this.#listed.set(model, deployments);
      }
    }
    this.#routes = this.#resolveRoutes(routes);
    this.#routers = new Map(
      routers.map(({ name, overrides, routes: own }) => [name, { overrides, routes: this.#resolveRoutes(own) }]),
    );
  }

  /** Whether there is a router of this name. */
  hasRouter(name: string): boolean {
    return this.#routers.has(name);
  }

  /** The names of all routers. */
  routers(): Iterable<string> {
    return this.#routers.keys();
  }

  /**
   * A route's name, a model's, or a chain of models with commas between them, tried in that order. A model is
   * `provider/model`, or bare where some provider lists it, or `model/provider` where it can be nothing else.
   * undefined: nobody knows it, or some part of the chain.
   * @throws GatewayError(`invalid_request`) when a fallback that the request names is unknown
   */
  resolve(name: string, { router, overrides }: ResolveOptions = {}): Resolution | undefined {
    const scope = router === undefined ? undefined : this.#routers.get(router);
    const found = scope?.routes.get(name) ?? this.#routes.get(name) ?? this.#resolveModels(name);
    if (found === undefined) return undefined;
    const scoped = scope === undefined ? found : this.#apply(found, scope.overrides);
    return overrides === undefined ? scoped : this.#apply(scoped, overrides);
  }

  #resolveModels(name: string): Resolution | undefined {
    const remembered = this.#remembered.get(name);
    if (remembered !== undefined) return remembered;
    // A provider whose models are not listed takes any name for one; none has a comma in it.
    const isChain = name.includes(',') && !this.#listed.has(name);
    const deployments = isChain ? this.#chain(name) : this.#model(name);
    if (deployments === undefined) return undefined;
    const resolution: Resolution = {
      route: null,
      policy: isChain ? { ...DEFAULT_POLICY, strategy: 'ordered' } : DEFAULT_POLICY,
      targets: deployments.map((deployment) => ({ deployment, weight: 1, tier: undefined })),
      variants: [],
      fallbacks: [],
      complexity: NO_COMPLEXITY,
    };
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(name, resolution);
    return resolution;
  }

  /** What is said later goes before what was said; but regions and bounds only become fewer and tighter. */
  #apply(resolution: Resolution, { fallbacks, ...overrides }: PolicyOverrides): Resolution {
    const said = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
    const { regions, timeoutMs, maxAttempts, maxCostNanoUsd } = resolution.policy;
    const policy: RoutePolicy = { ...resolution.policy, ...said };
    return {
      ...resolution,
      policy: {
        ...policy,
        regions: intersect(regions, overrides.regions),
        hedge: policy.hedge?.share === 0 ? undefined : policy.hedge,
        timeoutMs: lesser(timeoutMs, policy.timeoutMs),
        maxAttempts: Math.min(maxAttempts, policy.maxAttempts),
        maxCostNanoUsd: lesser(maxCostNanoUsd, policy.maxCostNanoUsd),
      },
      fallbacks: fallbacks === undefined ? resolution.fallbacks : fallbacks.flatMap((name) => this.#fallback(name)),
    };
  }

  #fallback(name: string): readonly Deployment[] {
    const found = this.#model(name);
    if (found !== undefined) return found;
    throw new GatewayError('invalid_request', `The fallback \`${name}\` does not exist.`, {
      param: 'sluice.fallbacks',
    });
  }

  #model(name: string): readonly Deployment[] | undefined {
    const direct = this.deployment(name);
    if (direct !== undefined) return [direct];
    const listed = this.#listed.get(name);
    if (listed !== undefined) return listed;
    const slash = name.lastIndexOf('/');
    const turned = slash < 0 ? undefined : this.deployment(`${name.slice(slash + 1)}/${name.slice(0, slash)}`);
    return turned === undefined ? undefined : [turned];
  }

  #chain(name: string): readonly Deployment[] | undefined {
    const parts = name.split(',', MAX_CHAIN + 1);
    if (parts.length > MAX_CHAIN) return undefined;
    const byId = new Map<string, Deployment>();
    for (const part of parts) {
      const deployments = this.#model(part.trim());
      if (deployments === undefined) return undefined;
      for (const deployment of deployments) if (!byId.has(deployment.id)) byId.set(deployment.id, deployment);
    }
    return [...byId.values()];
  }

  /** The deployment called `provider/model`; undefined when there is no such provider or it is known not to have the model. */
  deployment(id: string): Deployment | undefined {
    const made = this.#deployments.get(id);
    if (made !== undefined) return made;
    const slash = id.indexOf('/');
    if (slash < 0) return undefined;
    const provider = this.#providers.get(id.slice(0, slash));
    const model = id.slice(slash + 1);
    if (provider === undefined || model === '') return undefined;
    if (provider.listed === 'explicit' && !provider.models.has(model)) return undefined;
    return this.#make(provider, model);
  }

  /** Every name a client may send, routes first, a router's own before the others: what `GET /v1/models` lists. */
  models(router?: string): ListedModel[] {
    const own = router === undefined ? undefined : this.#routers.get(router)?.routes;
    const names = new Set([...(own?.keys() ?? []), ...this.#routes.keys()]);
    const routes = [...names].map((id) => ({ id, ownedBy: 'sluice' }));
    const direct = [...this.#listed.values()].flat().map(({ id, provider }) => ({ id, ownedBy: provider }));
    return [...routes, ...direct];
  }

  #resolveRoutes(routes: readonly RouteConfig[]): Map<string, Resolution> {
    const targetsOf = (targets: readonly TargetConfig[]): Target[] =>
      targets.map((target) => ({ deployment: this.#target(target), weight: target.weight, tier: target.tier }));
    return new Map(
      routes.map(({ name, policy, targets, variants, fallbacks, complexity }) => [
        name,
        {
          route: name,
          policy,
          targets: targetsOf(targets),
          variants: variants.map((variant) => ({ ...variant, targets: targetsOf(variant.targets) })),
          fallbacks: fallbacks.map((target) => this.#target(target)),
          complexity,
        },
      ]),
    );
  }

  #modelsOf(provider: ProviderConfig): Iterable<string> {
    if (provider.listed === 'price-table') return this.#prices.listModels(provider.name).map(({ name }) => name);
    return provider.models.keys();
  }

  #target({ provider, model }: TargetConfig): Deployment {
    const found = this.#providers.get(provider);
    if (found === undefined) throw new Error(`route names an unknown provider: ${provider}`);
    return this.#make(found, model);
  }

  /** The same object for the same id, as long as it is remembered. */
  #make(provider: ProviderConfig, model: string): Deployment {
    const id = `${provider.name}/${model}`;
    const made = this.#deployments.get(id);
    if (made !== undefined) return made;
    const configured = provider.models.get(model);
    const upstreamModel = configured?.upstream ?? model;
    const known = this.#prices.find(provider.name, upstreamModel);
    const capabilities = configured?.capabilities ?? known?.capabilities;
    const deployment: Deployment = {
      id,
      provider: provider.name,
      pool: poolOf(provider, model),
      model,
      upstreamModel,
      price: configured?.price ?? known?.price,
      region: provider.region,
      capabilities: capabilities === undefined ? undefined : new Set(capabilities),
      contextTokens: configured?.contextTokens ?? known?.maxInputTokens,
      maxOutputTokens: known?.maxOutputTokens,
      limits: limitsOf(provider, configured),
      prefill: provider.prefill,
      outputLimit: provider.outputLimit,
    };
    if (this.#deployments.size >= MAX_REMEMBERED) this.#deployments.clear();
    this.#deployments.set(id, deployment);
    return deployment;
  }
}

const NO_COMPLEXITY: ComplexityConfig = { medium: 1, complex: 1, teams: new Map() };

function limitsOf({ limits }: ProviderConfig, model: ModelConfig | undefined): LimitsConfig {
  return {
    requestsPerMinute: model?.limits.requestsPerMinute ?? limits.requestsPerMinute,
    tokensPerMinute: model?.limits.tokensPerMinute ?? limits.tokensPerMinute,
  };
}

function lesser(bound: number | undefined, other: number | undefined): number | undefined {
  return bound === undefined || other === undefined ? (bound ?? other) : Math.min(bound, other);
}

function intersect(
  regions: readonly string[] | undefined,
  others: readonly string[] | undefined,
): readonly string[] | undefined {
  if (regions === undefined || others === undefined) return regions ?? others;
  return regions.filter((region) => others.includes(region));
}
