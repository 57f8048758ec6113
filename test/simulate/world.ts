import { Registry } from 'prom-client';
import { Catalog } from '../../shared/catalog.ts';
import type { Millis } from '../../shared/clock.ts';
import type { BreakerConfig, OnLimit, ProviderConfig, RouteConfig, RouteStrategy } from '../../shared/config.ts';
import { DEFAULT_BREAKER, DEFAULT_POLICY } from '../../shared/config.ts';
import { BEAT_EVERY_MS } from '../../shared/messages/beat.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { seeded } from '../../shared/testing/seeded.ts';
import { startRouter } from '../../services/router/main.ts';
import type { Arrival, Ended } from './ingress.ts';
import { SimulatedIngress } from './ingress.ts';
import type { UpstreamSpec } from './upstream.ts';
import { Upstream } from './upstream.ts';
import { VirtualBus } from './virtual-bus.ts';
import { VirtualTime } from './virtual-time.ts';
import { SimulatedWorker } from './worker.ts';

const MODEL = 'm';
const NO_LIMITS = { requestsPerMinute: undefined, tokensPerMinute: undefined };
/** By then the routers have heard of every worker, and hold its slots. */
const READY_AFTER_MS = 2_000;
const MINUTE_MS = 60_000;

export interface ProviderSpec extends Omit<UpstreamSpec, 'deployment'> {
  /** Its deployment is `<name>/m`. */
  readonly name: string;
  /** Slots at each worker. */
  readonly slots: number;
  /** What the gateway's own configuration says, per worker. */
  readonly requestsPerMinute?: number;
  readonly nanoUsdPerToken?: number;
}

export interface RouteSpec {
  readonly name: string;
  /** Names of providers, with their weights when these differ. */
  readonly targets: ReadonlyArray<string | { readonly name: string; readonly weight: number }>;
  readonly strategy?: RouteStrategy;
  readonly onLimit?: OnLimit;
}

/** Requests that come as a Poisson process. */
export interface Stream {
  readonly route: string;
  readonly perSecond: number;
  readonly tenant?: string;
  readonly isStream?: boolean;
  readonly tokens?: number;
  readonly deadlineMs?: Millis;
  /** σ of the logarithm of the sizes; 0: all are alike. */
  readonly sigma?: number;
  readonly from?: Millis;
  readonly until: Millis;
  /** How many different conversations its requests are of. */
  readonly conversations?: number;
}

export interface WorldSpec {
  readonly seed: number;
  readonly providers: readonly ProviderSpec[];
  readonly routes: readonly RouteSpec[];
  readonly streams: readonly Stream[];
  readonly routers?: number;
  readonly workers?: number;
  readonly ingresses?: number;
  readonly queueWeights?: ReadonlyMap<string, number>;
  readonly breaker?: Partial<BreakerConfig>;
  /** Of attempts: the first token of a stream, and the whole of a plain answer. */
  readonly patienceMs?: Millis;
  readonly onArrival?: (arrival: Arrival, now: Millis) => void;
  readonly onEnded?: (ended: Ended) => void;
}

/**
 * Routers, workers and ingresses around a virtual broker and a virtual clock. Time 0 is when requests begin to come; the
 * services have found each other before that.
 */
export class World {
  readonly time = new VirtualTime();
  readonly upstreams: ReadonlyMap<string, Upstream>;
  arrived = 0;
  ended = 0;
  readonly #ingresses: SimulatedIngress[] = [];
  readonly #workers = new Map<string, SimulatedWorker>();
  readonly #spec: WorldSpec;

  constructor(spec: WorldSpec) {
    this.#spec = spec;
    const { seed, routers = 1, workers = 2, ingresses = 1, queueWeights = new Map() } = spec;
    const { time } = this;
    const bus = new VirtualBus(time);
    const providers = spec.providers.map((provider) => providerConfig(provider, spec));
    const catalog = new Catalog({ providers, routes: spec.routes.map(routeConfig) }, loadPriceTable());
    const fork = forks(seed);
    this.upstreams = new Map(
      spec.providers.map((provider) => {
        const deployment = `${provider.name}/${MODEL}`;
        const conduct = provider.conduct;
        const shifted = conduct && ((now: Millis) => conduct(now - READY_AFTER_MS));
        const own = { ...provider, deployment, ...(shifted === undefined ? {} : { conduct: shifted }) };
        return [deployment, new Upstream(own, fork())];
      }),
    );
    time.govern(() => {
      const offset = fork();
      // Processes do not start together: their heartbeats and sweeps come at different times.
      for (let i = 0; i < routers; i++) {
        const own = {
          bus: bus.asBus,
          clock: time.clock,
          catalog,
          registry: new Registry(),
          random: fork(),
          queueWeights,
        };
        time.after(offset() * BEAT_EVERY_MS, () => startRouter(own));
      }
      for (let i = 0; i < workers; i++) {
        const id = `wrk-${i}`;
        this.#workers.set(
          id,
          new SimulatedWorker({
            id,
            time,
            bus,
            catalog,
            providers,
            upstreams: this.upstreams,
            random: fork(),
            startsInMs: offset() * BEAT_EVERY_MS,
          }),
        );
      }
      const onEnded = (ended: Ended): void => {
        this.ended++;
        const { startedAt, endedAt } = ended;
        spec.onEnded?.({ ...ended, startedAt: startedAt - READY_AFTER_MS, endedAt: endedAt - READY_AFTER_MS });
      };
      for (let i = 0; i < ingresses; i++) {
        this.#ingresses.push(
          new SimulatedIngress({ id: `ing-${i}`, time, bus, catalog, workers: this.#workers, random: fork(), onEnded }),
        );
      }
      time.runUntil(READY_AFTER_MS);
      for (const stream of spec.streams) this.#arrive(stream, fork());
    });
  }

  get now(): Millis {
    return this.time.now - READY_AFTER_MS;
  }

  get live(): number {
    return this.#ingresses.reduce((sum, { live }) => sum + live, 0);
  }

  get calls(): number {
    return [...this.upstreams.values()].reduce((sum, { calls }) => sum + calls, 0);
  }

  /** Tasks that workers did not begin: no slot, an open breaker, a limit. */
  get declined(): SimulatedWorker['declined'] {
    const sum = { no_slot: 0, breaker_open: 0, throttled: 0, drained: 0, disabled: 0 };
    for (const { declined } of this.#workers.values()) {
      for (const why of Object.keys(sum) as Array<keyof typeof sum>) sum[why] += declined[why];
    }
    return sum;
  }

  upstream(provider: string): Upstream {
    return this.upstreams.get(`${provider}/${MODEL}`)!;
  }

  /** Calls `look` so often while the world runs. */
  every(ms: Millis, look: (now: Millis) => void): this {
    this.time.every(ms, () => look(this.now));
    return this;
  }

  /** Until this time, and then until the last request has ended; those that never do are left in `live`. */
  run(until: Millis): this {
    this.time.govern(() => {
      this.time.runUntil(until + READY_AFTER_MS);
      for (let waited = 0; this.live > 0 && waited < 30 * MINUTE_MS; waited += 1_000) {
        this.time.runUntil(this.time.now + 1_000);
      }
    });
    return this;
  }

  #arrive(stream: Stream, random: () => number): void {
    const { route, perSecond, tenant = 'tenant', isStream = false, tokens = 100, sigma = 0.5, from = 0 } = stream;
    const { until, deadlineMs = 2 * MINUTE_MS, conversations = 1_000 } = stream;
    const { time } = this;
    const end = until + READY_AFTER_MS;
    const come = (): void => {
      if (time.now >= end) return;
      const size = logNormal(sigma, random);
      const affinity = `c${Math.floor(random() * conversations)}`;
      const arrival: Arrival = {
        ...{ model: route, tenant, lane: 'interactive', isStream, tokens, affinity, size, deadlineMs },
      };
      const ingress = this.#ingresses[this.arrived++ % this.#ingresses.length]!;
      this.#spec.onArrival?.(arrival, this.now);
      ingress.take(arrival);
      time.after(gap(), come);
    };
    const gap = (): Millis => (-Math.log(1 - random()) / perSecond) * 1_000;
    time.after(from + gap(), come);
  }
}

/** Mean 1. */
function logNormal(sigma: number, random: () => number): number {
  if (sigma === 0) return 1;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.exp(sigma * normal - (sigma * sigma) / 2);
}

/** Sources of numbers that do not disturb each other. */
function forks(seed: number): () => () => number {
  let next = 0;
  return () => seeded(Math.imul(seed, 0x9e3779b1) + Math.imul(++next, 0x85ebca6b));
}

export function providerConfig(
  spec: ProviderSpec,
  { breaker, patienceMs = MINUTE_MS }: Pick<WorldSpec, 'breaker' | 'patienceMs'>,
): ProviderConfig {
  const { name, slots, requestsPerMinute, nanoUsdPerToken } = spec;
  const price = nanoUsdPerToken === undefined ? {} : { price: priceOf(nanoUsdPerToken) };
  const rest = { concurrency: undefined, capabilities: undefined, contextTokens: undefined };
  return {
    name,
    dialect: 'openai',
    baseUrl: `http://${name}`,
    models: new Map([[MODEL, { name: MODEL, upstream: MODEL, limits: NO_LIMITS, ...rest, ...price }]]),
    listed: 'explicit',
    region: undefined,
    concurrency: slots,
    minConcurrency: undefined,
    limits: { requestsPerMinute, tokensPerMinute: undefined },
    breaker: { ...DEFAULT_BREAKER, ...breaker },
    healthCheck: undefined,
    prefill: 'none',
    outputLimit: 'max_tokens',
    timeouts: { connectMs: 5_000, firstTokenMs: patienceMs, betweenTokensMs: patienceMs, totalMs: patienceMs },
  };
}

/** The unit of prices does not matter here, only which is less. */
function priceOf(nanoUsdPerToken: number): { input: number; output: number } {
  return { input: nanoUsdPerToken, output: nanoUsdPerToken };
}

export function routeConfig({ name, targets, strategy = 'peak_ewma', onLimit }: RouteSpec): RouteConfig {
  return {
    name,
    policy: { ...DEFAULT_POLICY, strategy, onLimit: onLimit ?? DEFAULT_POLICY.onLimit },
    targets: targets.map((target) => {
      const { name: provider, weight } = typeof target === 'string' ? { name: target, weight: 1 } : target;
      return { provider, model: MODEL, weight, tier: undefined };
    }),
    variants: [],
    fallbacks: [],
    complexity: { medium: 0.35, complex: 0.65, teams: new Map() },
  };
}
