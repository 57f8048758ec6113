import type { Config, ProviderConfig, RouteConfig } from './types.ts';

const HIDDEN = '[redacted]';

/** A Config that may be shown and turned into JSON: the same fields, no secrets, each provider's models as a list, no Map. */
export function redactConfig(config: Config) {
  return {
    ...config,
    nats: { url: config.nats.url?.split(',').map(withoutPassword).join(',') },
    database: { url: config.database.url && withoutPassword(config.database.url) },
    redis: { url: config.redis.url && withoutPassword(config.redis.url) },
    auth: {
      adminKey: config.auth.adminKey && HIDDEN,
      secret: config.auth.secret && HIDDEN,
      keys: config.auth.keys.map((key) => ({ ...key, key: HIDDEN })),
      jwt: config.auth.jwt.map(({ roles, ...issuer }) => ({ ...issuer, roles: Object.fromEntries(roles) })),
    },
    providers: config.providers.map(redactProvider),
    routes: config.routes.map(showRoute),
    routers: config.routers.map((router) => ({ ...router, routes: router.routes.map(showRoute) })),
    alerts: { webhooks: config.alerts.webhooks.map(({ url }) => ({ url: new URL(url).origin, secret: HIDDEN })) },
    limits: Object.fromEntries(config.limits),
    queueWeights: Object.fromEntries(config.queueWeights),
  };
}

function redactProvider({ apiKey, models, ...shown }: ProviderConfig) {
  return { ...shown, ...(apiKey !== undefined && { apiKey: HIDDEN }), models: [...models.values()] };
}

function showRoute({ complexity, ...shown }: RouteConfig) {
  return { ...shown, complexity: { ...complexity, teams: Object.fromEntries(complexity.teams) } };
}

/** Hides the password, and all of the query: `?password=` and `?sslkey=` are secrets as well. */
function withoutPassword(url: string): string {
  const parsed = new URL(url);
  const user = parsed.username === '' && parsed.password === '' ? '' : `${HIDDEN}@`;
  const query = parsed.search === '' ? '' : `?${HIDDEN}`;
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname}${query}`;
}
