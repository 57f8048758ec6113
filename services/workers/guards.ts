import type { Catalog, Deployment } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import type { ProviderConfig } from '../../shared/config.ts';
import type { DeploymentReport } from '../../shared/messages/beat.ts';
import type { BreakerState } from './core/breaker.ts';
import { Guard } from './core/guard.ts';

/** Clients choose model names where a provider lists none. Beyond this, a deployment is called without being remembered. */
const MAX_GUARDS = 4_096;
const FORGET_AFTER_MS = 10 * 60_000;
const SWEEP_EVERY_MS = 60_000;
/** About 200 bytes each. Those that are not well go first. */
const MAX_REPORTS = 1_000;

export interface GuardsDeps {
  readonly catalog: Pick<Catalog, 'deployment'>;
  readonly providers: readonly ProviderConfig[];
  readonly random: () => number;
  /** The routers must know at once. */
  readonly onChange: () => void;
  readonly onTransition: (deployment: string, to: BreakerState) => void;
}

/** The deployments that this worker knows. */
export class Guards {
  readonly #deps: GuardsDeps;
  readonly #providers: ReadonlyMap<string, ProviderConfig>;
  readonly #guards = new Map<string, Guard>();
  /** By provider, what its active health check said last: null when it passed. */
  readonly #checks = new Map<string, string | null>();
  #sweptAt: Millis = 0;

  constructor(deps: GuardsDeps) {
    this.#deps = deps;
    this.#providers = new Map(deps.providers.map((provider) => [provider.name, provider]));
  }

  of(deployment: Deployment, now: Millis): Guard {
    const known = this.#guards.get(deployment.id);
    if (known !== undefined) return known;
    const { random, onChange, onTransition } = this.#deps;
    const guard = new Guard(
      {
        deployment: deployment.id,
        provider: deployment.provider,
        limits: deployment.limits,
        breaker: this.#providers.get(deployment.provider)?.breaker,
        random,
        onChange,
        onTransition: (to) => onTransition(deployment.id, to),
      },
      now,
    );
    const check = this.#checks.get(deployment.provider);
    if (check !== undefined) guard.checked(check, now);
    if (this.#guards.size >= MAX_GUARDS) this.#forget(now);
    if (this.#guards.size < MAX_GUARDS) this.#guards.set(deployment.id, guard);
    return guard;
  }

  values(): IterableIterator<Guard> {
    return this.#guards.values();
  }

  /**
   * The active health check of a provider spoke: it is about all its deployments. Those that the configuration does not
   * name are known once they were used.
   */
  checked(provider: string, failed: string | null, now: Millis): void {
    const before = this.#checks.get(provider);
    this.#checks.set(provider, failed);
    if (typeof failed === 'string' && before !== failed) this.#know(provider, now);
    for (const guard of this.#guards.values()) {
      if (guard.provider === provider) guard.checked(failed, now);
    }
  }

  /** What these routers are told; forgets, once a minute, what was idle for long. */
  reports(now: Millis, routers: readonly string[]): DeploymentReport[] {
    if (now - this.#sweptAt >= SWEEP_EVERY_MS) this.#forget(now);
    const all = [...this.#guards.values()]
      .filter((guard) => guard.isReported(now))
      .map((guard) => guard.report(now, routers));
    if (all.length <= MAX_REPORTS) return all;
    const urgency = ({ breaker, throttledMs, starts }: DeploymentReport): number =>
      breaker !== 'closed' || throttledMs !== undefined || starts !== undefined ? 0 : 1;
    return all.sort((a, b) => urgency(a) - urgency(b)).slice(0, MAX_REPORTS);
  }

  #know(provider: string, now: Millis): void {
    for (const model of this.#providers.get(provider)?.models.keys() ?? []) {
      const deployment = this.#deps.catalog.deployment(`${provider}/${model}`);
      if (deployment !== undefined) this.of(deployment, now);
    }
  }

  #forget(now: Millis): void {
    this.#sweptAt = now;
    for (const [id, guard] of this.#guards) if (guard.isForgettable(now, FORGET_AFTER_MS)) this.#guards.delete(id);
  }
}
