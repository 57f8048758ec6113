import type { Catalog, Deployment, Resolution } from '../../shared/catalog.ts';

/** From route to route, as routers do it (services/router/decide.ts). */
const MAX_DOWNGRADES = 8;

/** Who may serve a request in the end, whatever its router decides: the first choice, variants, fallbacks and downgrades. */
export class Candidates {
  readonly #catalog: Pick<Catalog, 'resolve'>;
  /** Routes and known names keep their resolution for as long as they are known. */
  readonly #known = new WeakMap<Resolution, readonly Deployment[]>();

  constructor(catalog: Pick<Catalog, 'resolve'>) {
    this.#catalog = catalog;
  }

  /** @param router the named router that the request came through: where downgrades lead depends on it */
  of(resolution: Resolution, router: string | undefined): readonly Deployment[] {
    if (router !== undefined) return this.#find(resolution, router);
    const known = this.#known.get(resolution);
    if (known !== undefined) return known;
    const found = this.#find(resolution, router);
    this.#known.set(resolution, found);
    return found;
  }

  #find(resolution: Resolution, router: string | undefined): readonly Deployment[] {
    const found = new Set<Deployment>();
    const { regions } = resolution.policy;
    let at: Resolution | undefined = resolution;
    for (let downgrades = 0; at !== undefined && downgrades <= MAX_DOWNGRADES; downgrades++) {
      const targets = [...at.targets, ...at.variants.flatMap((variant) => variant.targets)];
      for (const deployment of [...targets.map((target) => target.deployment), ...at.fallbacks]) {
        const { region } = deployment;
        if (regions === undefined || (region !== undefined && regions.includes(region))) found.add(deployment);
      }
      const to = downgradeOf(at);
      at = to === undefined ? undefined : this.#catalog.resolve(to, { router });
    }
    return [...found];
  }
}

function downgradeOf({ policy: { onLimit } }: Resolution): string | undefined {
  const end = onLimit.kind === 'queue' ? onLimit.then : onLimit;
  return end.kind === 'downgrade' ? end.to : undefined;
}
