import type { Config, ProviderConfig, RouteStrategy, TargetConfig } from './config.ts';
import type { Price, PriceTable } from './pricing.ts';

/** provider + upstream model: the thing that is called. `id` is `provider/model`, as clients may name it. */
export interface Deployment {
  readonly id: string;
  readonly provider: string;
  /** The worker pool that serves it: one for each provider (and, later, group of credentials). */
  readonly pool: string;
  readonly model: string;
  /** What the provider calls it. */
  readonly upstreamModel: string;
  /** undefined: no price is known. */
  readonly price: Price | undefined;
}

export interface WeightedDeployment {
  readonly deployment: Deployment;
  readonly weight: number;
}

/** What a model name stands for. */
export interface Resolution {
  /** null for a name that is no route. */
  readonly route: string | null;
  readonly strategy: RouteStrategy;
  readonly targets: readonly WeightedDeployment[];
  /** Asked in this order when every target has failed. */
  readonly fallbacks: readonly Deployment[];
  readonly timeoutMs: number | undefined;
}

export interface ListedModel {
  readonly id: string;
  readonly ownedBy: string;
}

/** At most this many resolved names are remembered; clients choose the names, so the memory is bounded. */
const MAX_REMEMBERED = 4_096;
/** Models in one chain. */
const MAX_CHAIN = 16;

/** Names → deployments, from the configuration and the price table. Pure: the same names always give the same answer. */
export class Catalog {
  readonly #providers = new Map<string, ProviderConfig>();
  readonly #routes = new Map<string, Resolution>();
  /** Bare model → the providers that list it, in the configuration's order. */
  readonly #listed = new Map<string, Deployment[]>();
  readonly #remembered = new Map<string, Resolution>();
  readonly #prices: PriceTable;

  constructor(config: Pick<Config, 'providers' | 'routes'>, prices: PriceTable) {
    this.#prices = prices;
    for (const provider of config.providers) {
      this.#providers.set(provider.name, provider);
      for (const model of this.#modelsOf(provider)) {
        const deployments = this.#listed.get(model) ?? [];
        deployments.push(this.#make(provider, model));
        this.#listed.set(model, deployments);
      }
    }
    for (const route of config.routes) {
      this.#routes.set(route.name, {
        route: route.name,
        strategy: route.strategy,
        targets: route.targets.map((target) => ({ deployment: this.#target(target), weight: target.weight })),
        fallbacks: route.fallbacks.map((target) => this.#target(target)),
        timeoutMs: route.timeoutMs,
      });
    }
  }

  /**
   * A route's name, a model's, or a chain of models with commas between them, tried in that order. A model is
   * `provider/model`, or bare where some provider lists it, or `model/provider` where it can be nothing else.
   * undefined: nobody knows it, or some part of the chain.
   */
  resolve(name: string): Resolution | undefined {
    const route = this.#routes.get(name);
    if (route !== undefined) return route;
    const remembered = this.#remembered.get(name);
    if (remembered !== undefined) return remembered;
    // A provider whose models are not listed takes any name for one; none has a comma in it.
    const deployments = name.includes(',') ? (this.#listed.get(name) ?? this.#chain(name)) : this.#model(name);
    if (deployments === undefined) return undefined;
    const resolution: Resolution = {
      route: null,
      strategy: 'ordered',
      targets: deployments.map((deployment) => ({ deployment, weight: 1 })),
      fallbacks: [],
      timeoutMs: undefined,
    };
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(name, resolution);
    return resolution;
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
    const slash = id.indexOf('/');
    if (slash < 0) return undefined;
    const provider = this.#providers.get(id.slice(0, slash));
    const model = id.slice(slash + 1);
    if (provider === undefined || model === '') return undefined;
    if (provider.listed === 'explicit' && !provider.models.has(model)) return undefined;
    return this.#make(provider, model);
  }

  /** Every name a client may send, routes first: what `GET /v1/models` lists. */
  models(): ListedModel[] {
    const routes = [...this.#routes.keys()].map((id) => ({ id, ownedBy: 'sluice' }));
    const direct = [...this.#listed.values()].flat().map(({ id, provider }) => ({ id, ownedBy: provider }));
    return [...routes, ...direct];
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

  #make(provider: ProviderConfig, model: string): Deployment {
    const configured = provider.models.get(model);
    const upstreamModel = configured?.upstream ?? model;
    return {
      id: `${provider.name}/${model}`,
      provider: provider.name,
      pool: provider.name,
      model,
      upstreamModel,
      price: configured?.price ?? this.#prices.lookup(provider.name, upstreamModel),
    };
  }
}
