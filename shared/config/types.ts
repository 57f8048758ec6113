import type { Period } from '../budgets.ts';
import type { LogLevel } from '../log.ts';
import type { OnBudgetEnd } from '../messages/rules.ts';
import type { LimitTerms } from '../messages/rules.ts';
import type { KeyPolicy, Role } from '../messages/key.ts';
import type { Capability, Price } from '../pricing.ts';
import type { ScopeName } from '../scope.ts';

/** What a user configured, checked and complete: every default is filled in, every cross reference holds. Frozen. */
export interface Config {
  /** Absolute path of the file that was read; undefined when there was none. */
  readonly file: string | undefined;
  readonly server: ServerConfig;
  /** One URL, or several separated by commas. undefined: an embedded nats-server is started, its store in `dataDir`. */
  readonly nats: { readonly url: string | undefined };
  /** `url` undefined: embedded Postgres in `dataDir`. */
  readonly database: { readonly url: string | undefined };
  /** `url` undefined: limits and cache in process, for one ingress only. */
  readonly redis: { readonly url: string | undefined };
  /** Absolute path. */
  readonly dataDir: string;
  readonly auth: AuthConfig;
  /** Never empty; in the file's order, then those found in the environment. Names are unique. */
  readonly providers: ReadonlyArray<ProviderConfig>;
  /** In the file's order. Names are unique. */
  readonly routes: ReadonlyArray<RouteConfig>;
  /** Named routers: each is a door of its own, `/router/{name}/v1/...`. Names are unique. */
  readonly routers: ReadonlyArray<RouterConfig>;
  /** By scope or pattern (shared/scope.ts), those of routes and keys too; several of one scope all hold. */
  readonly limits: ReadonlyMap<ScopeName, ReadonlyArray<LimitTerms>>;
  /** Shares of tenants (a team, or a key that has none) in a waiting line, by name; 1 for those that are not here. */
  readonly queueWeights: ReadonlyMap<string, number>;
  /** Those of `budgets`, then those of keys. Ids are unique. */
  readonly budgets: ReadonlyArray<BudgetConfig>;
  readonly alerts: { readonly webhooks: ReadonlyArray<WebhookConfig> };
  readonly logging: { readonly level: LogLevel };
  readonly retention: RetentionConfig;
}

/** How long the ledger keeps what it has recorded, in milliseconds; undefined: for ever. The audit trail is always kept. */
export interface RetentionConfig {
  /** One by one; dropped by whole months. What they cost stays in the sums. */
  readonly attemptsMs: number | undefined;
  readonly hourlyRollupsMs: number | undefined;
  readonly dailyRollupsMs: number | undefined;
  /** Events that could never be recorded. */
  readonly poisonedMs: number | undefined;
}

export interface BudgetPeriodConfig {
  readonly per: Period;
  /** The length of a `rolling` budget; null for all others. */
  readonly rollingMs: number | null;
}

export interface BudgetConfig extends BudgetPeriodConfig {
  /** The same for as long as scope, period, time zone and name are. */
  readonly id: string;
  readonly name: string;
  /** Of shared/scope.ts; may be a pattern. A key is known by its id. */
  readonly scope: string;
  readonly amountNanoUsd: number;
  readonly timeZone: string;
  readonly isHard: boolean;
  readonly onLimit: OnBudgetEnd;
  /** Percents of the amount. */
  readonly alertAt: ReadonlyArray<number>;
}

/** Who is told when budgets reach their thresholds. */
export interface WebhookConfig {
  readonly url: string;
  /** Signs what is sent. */
  readonly secret: string;
}

export interface ServerConfig {
  readonly host: string;
  /** 0..65535; 0 lets the system choose. */
  readonly port: number;
  readonly bodyLimitBytes: number;
  /** The deadline of a request that names none. */
  readonly requestTimeoutMs: number;
  /** How long a stream may be silent before an SSE comment line is sent. */
  readonly keepAliveMs: number;
  /** Networks (CIDR) of proxies whose `x-forwarded-for` is believed. */
  readonly trustedProxies: ReadonlyArray<string>;
}

export interface AuthConfig {
  /** undefined: made at first start. */
  readonly adminKey: string | undefined;
  /** Under which the ledger keeps the hashes of tokens; undefined: made at first start, in the data folder. */
  readonly secret: string | undefined;
  readonly keys: ReadonlyArray<KeyConfig>;
  /** Whose bearer tokens (JWT) stand for users. Issuers and names are unique. */
  readonly jwt: ReadonlyArray<IssuerConfig>;
}

/** A client key as it stands in the file; `name` and `key` are both unique. */
export interface KeyConfig {
  readonly name: string;
  readonly key: string;
  readonly team: string | undefined;
  readonly user: string | undefined;
  readonly organisation: string | undefined;
  /** What a request with this key may say of its own routing. */
  readonly overrides: OverridesAllowed;
  readonly policy: Readonly<KeyPolicy>;
}

/** Who signs tokens, and what their claims mean. */
export interface IssuerConfig {
  /** What its tokens say as `iss`, to the letter. */
  readonly issuer: string;
  /** Stands for it in usage and scopes: `key:jwt:<name>`. */
  readonly name: string;
  /** One of these must be the token's. Never empty. */
  readonly audience: ReadonlyArray<string>;
  /** undefined: its discovery document says (`/.well-known/openid-configuration`). */
  readonly jwksUrl: string | undefined;
  /** Names of claims; dots lead into objects. undefined: none. */
  readonly claims: {
    readonly user: string;
    readonly team: string | undefined;
    readonly organisation: string | undefined;
    readonly role: string | undefined;
    readonly tags: string | undefined;
  };
  /** What a value of the role's claim stands for; values that are not here are callers'. */
  readonly roles: ReadonlyMap<string, Role>;
}

/** `all`, or the names of the overrides that are allowed. */
export type OverridesAllowed = 'all' | ReadonlyArray<OverrideName>;

export type DialectName = 'openai';

/**
 * Where the list of a provider's models comes from:
 * - `explicit`: `models` is the whole of it, any other model is unknown;
 * - `price-table`: the price table knows this provider's models (`listModels`); others may exist;
 * - `open`: nobody knows; every model name is passed on.
 */
export type ModelListing = 'explicit' | 'price-table' | 'open';

export interface ProviderConfig {
  readonly name: string;
  readonly dialect: DialectName;
  /** Without a slash at its end. undefined only for `simulated`, whose server starts with the process. */
  readonly baseUrl: string | undefined;
  readonly apiKey?: string;
  /** By the name clients use. Empty unless `listed` is `explicit`. */
  readonly models: ReadonlyMap<string, ModelConfig>;
  readonly listed: ModelListing;
  /** Where its deployments run, for routes that are pinned to regions. undefined: nobody says. */
  readonly region: string | undefined;
  /** Attempts in flight at once, per worker process; when adaptive, the most there may be. */
  readonly concurrency: number;
  /** The least there may be; undefined: concurrency is fixed. */
  readonly minConcurrency: number | undefined;
  /** Of each of its deployments that has none of its own; across all workers when Redis is there, else per worker. */
  readonly limits: LimitsConfig;
  /** undefined: switched off. */
  readonly breaker: BreakerConfig | undefined;
  readonly healthCheck: HealthCheckConfig | undefined;
  /** How its models are made to continue a text. */
  readonly prefill: Prefill;
  readonly outputLimit: OutputLimit;
  readonly timeouts: TimeoutsConfig;
}

/** undefined: no limit that we know of; the provider's own headers may tell one. */
export interface LimitsConfig {
  readonly requestsPerMinute: number | undefined;
  readonly tokensPerMinute: number | undefined;
}

export interface BreakerConfig {
  /** It opens after this many failures in a row. */
  readonly consecutiveFailures: number;
  /** It opens when more than this share (0..1) of the calls within the window failed, once there were `minRequests`. */
  readonly failureRatio: number;
  readonly windowMs: number;
  readonly minRequests: number;
  /** For the first time; twice that when it opens again, and so on. */
  readonly openForMs: number;
  /** A call whose first token comes later than this is slow. undefined: none is. */
  readonly slowCallMs: number | undefined;
  /** It opens when more than this share (0..1) of the calls within the window were slow; at 1 they never open it. */
  readonly slowRatio: number;
}

export interface HealthCheckConfig {
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** After the base URL; a GET of it must answer 2xx. */
  readonly path: string;
}

/**
 * - `none`: it cannot be told to continue a text;
 * - `assistant`: a last message of the assistant is continued;
 * - `prefix`: that, when the message says `"prefix": true` (Mistral, DeepSeek);
 * - `continue_final_message`: that, when the request says so (vLLM, SGLang).
 */
export type Prefill = 'none' | 'assistant' | 'prefix' | 'continue_final_message';

/** The member of a chat request that bounds its output, as a provider calls it; servers ignore the name they do not know. */
export type OutputLimit = 'max_completion_tokens' | 'max_tokens';

export interface ModelConfig {
  /** The name clients use, after `provider/`. */
  readonly name: string;
  /** What the provider calls it; the same as `name` unless configured. */
  readonly upstream: string;
  /** The configured price; without it the price table is asked, by provider and `upstream`. */
  readonly price?: Price;
  /** Its own; what is undefined in it, is the provider's. */
  readonly limits: LimitsConfig;
  /** Slots of its own, apart from its provider's other models. */
  readonly concurrency: number | undefined;
  /** undefined: what the price table says; when it says nothing, everything is tried. */
  readonly capabilities: ReadonlyArray<Capability> | undefined;
  /** Input tokens it takes; undefined: what the price table says. */
  readonly contextTokens: number | undefined;
}

export interface TimeoutsConfig {
  readonly connectMs: number;
  /** From the request sent to the first content token of a stream; a plain answer comes all at once, within `totalMs`. */
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
  /** The whole attempt. */
  readonly totalMs: number;
}

export const STRATEGIES = ['peak_ewma', 'weighted', 'ordered', 'cheapest', 'complexity', 'sticky'] as const;
export type RouteStrategy = (typeof STRATEGIES)[number];

export const TIERS = ['simple', 'medium', 'complex'] as const;
export type Tier = (typeof TIERS)[number];

/** What happens to a request when every deployment that could serve it is at a limit. */
export type OnLimit =
  | { readonly kind: 'reject' }
  | { readonly kind: 'downgrade'; readonly to: string }
  /** `forMs` undefined: until the request's deadline. */
  | { readonly kind: 'queue'; readonly forMs: number | undefined; readonly then: OnLimitEnd };
export type OnLimitEnd = { readonly kind: 'reject' } | { readonly kind: 'downgrade'; readonly to: string };

/** A second attempt beside one that is slow to begin. */
export interface HedgeConfig {
  /** `p95`: of the deployment's time to first token. */
  readonly afterMs: number | 'p95';
  /** At most this share (0..1) of the requests is hedged. */
  readonly share: number;
}

/** Said by a router or a request: no hedging, whatever the route says. */
export const NO_HEDGE: HedgeConfig = { afterMs: 'p95', share: 0 };

/** How a route's requests are served; each part of it may be said anew by a named router, and by a request. */
export interface RoutePolicy {
  readonly strategy: RouteStrategy;
  /** Only deployments of these regions may serve it. undefined: any. */
  readonly regions: ReadonlyArray<string> | undefined;
  /** undefined: the request's own deadline, else `server.requestTimeoutMs`. */
  readonly timeoutMs: number | undefined;
  readonly onLimit: OnLimit;
  readonly onStreamBreak: 'error' | 'continue';
  readonly onContentFilter: 'error' | 'fallback';
  readonly hedge: HedgeConfig | undefined;
  /** Attempts of one request in all: retries, fallbacks and hedges. */
  readonly maxAttempts: number;
  /** What the attempts of one request may cost together, in nano-dollars. undefined: no bound but the budget's. */
  readonly maxCostNanoUsd: number | undefined;
}

export const OVERRIDE_NAMES = [
  'strategy',
  'regions',
  'timeout',
  'on_limit',
  'on_stream_break',
  'on_content_filter',
  'hedge',
  'max_attempts',
  'max_cost',
  'fallbacks',
  'lane',
] as const;
export type OverrideName = (typeof OVERRIDE_NAMES)[number];

/** `undefined` in it: as the route says. Regions can only become fewer. Fallbacks replace the route's. */
export type PolicyOverrides = { readonly [Part in keyof RoutePolicy]?: RoutePolicy[Part] | undefined } & {
  /** Model names, as a client sends them. */
  readonly fallbacks?: ReadonlyArray<string> | undefined;
};

export interface RouteConfig {
  readonly name: string;
  readonly policy: RoutePolicy;
  /** Empty only when there are variants. */
  readonly targets: ReadonlyArray<TargetConfig>;
  /** An A/B split: each user or conversation always gets the targets of the same one. Empty, or two at least. */
  readonly variants: ReadonlyArray<VariantConfig>;
  /** Asked in this order when no target can serve. */
  readonly fallbacks: ReadonlyArray<TargetConfig>;
  /** For the strategy `complexity`. */
  readonly complexity: ComplexityConfig;
}

export interface VariantConfig {
  readonly name: string;
  readonly weight: number;
  readonly targets: ReadonlyArray<TargetConfig>;
}

export interface ComplexityConfig {
  /** A score (0..1) from which a request is of the tier `medium`, and of `complex`. */
  readonly medium: number;
  readonly complex: number;
  /** Teams whose requests are all of one tier. */
  readonly teams: ReadonlyMap<string, Tier>;
}

/** One word that asks for reasoning makes a request medium; three, or two with something to reason about, complex. */
export const DEFAULT_COMPLEXITY: ComplexityConfig = { medium: 0.18, complex: 0.4, teams: new Map() };

/** A door of its own: what it says goes before what its routes say; its own routes before those of the whole gateway. */
export interface RouterConfig {
  readonly name: string;
  readonly overrides: PolicyOverrides;
  readonly routes: ReadonlyArray<RouteConfig>;
}

export const DEFAULT_BREAKER: BreakerConfig = {
  consecutiveFailures: 5,
  failureRatio: 0.1,
  windowMs: 30_000,
  minRequests: 20,
  openForMs: 10_000,
  slowCallMs: undefined,
  slowRatio: 0.5,
};

/** What a name that is no route is served by; a route that says nothing of it, too. */
export const DEFAULT_POLICY: RoutePolicy = {
  strategy: 'peak_ewma',
  regions: undefined,
  timeoutMs: undefined,
  onLimit: { kind: 'queue', forMs: undefined, then: { kind: 'reject' } },
  onStreamBreak: 'error',
  onContentFilter: 'error',
  hedge: undefined,
  maxAttempts: 8,
  maxCostNanoUsd: undefined,
};

export interface TargetConfig {
  readonly provider: string;
  readonly model: string;
  /** A positive integer; 1 unless configured. */
  readonly weight: number;
  /** For the strategy `complexity`: the requests it is for. undefined: all. */
  readonly tier: Tier | undefined;
}
