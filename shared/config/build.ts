import { buildBudgets } from './build-budgets.ts';
import { buildLimits } from './build-limits.ts';
import { buildAuth } from './build-auth.ts';
import { buildProviders } from './build-provider.ts';
import { buildRouter, buildRoutes } from './build-route.ts';
import type { ConfigFile } from './schema.ts';
import type { Config, RetentionConfig } from './types.ts';

interface Origin {
  readonly file: string | undefined;
  /** Absolute. */
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The checked file and the environment → the complete Config. Makes no checks of its own. */
export function buildConfig(parsed: ConfigFile, { file, dataDir, env }: Origin): Config {
  const { server, auth } = parsed;
  return deepFreeze({
    file,
    server: {
      host: server.host,
      port: server.port,
      bodyLimitBytes: server.body_limit,
      requestTimeoutMs: server.request_timeout,
      keepAliveMs: server.keep_alive,
      trustedProxies: server.trusted_proxies,
    },
    nats: { url: parsed.nats.url },
    database: { url: parsed.database.url },
    redis: { url: parsed.redis.url },
    dataDir,
    auth: buildAuth(auth),
    providers: buildProviders(parsed.providers, env),
    routes: buildRoutes(parsed.routes),
    routers: Array.from(parsed.routers, ([name, router]) => buildRouter(name, router)),
    limits: buildLimits(parsed),
    queueWeights: parsed.queue.weights,
    budgets: buildBudgets(parsed),
    alerts: parsed.alerts,
    logging: { level: parsed.logging.level },
    retention: buildRetention(parsed.retention),
  });
}

function buildRetention(retention: ConfigFile['retention']): RetentionConfig {
  const ms = (kept: number | 'forever'): number | undefined => (kept === 'forever' ? undefined : kept);
  return {
    attemptsMs: ms(retention.attempts),
    hourlyRollupsMs: ms(retention.rollups_hourly),
    dailyRollupsMs: ms(retention.rollups_daily),
    poisonedMs: ms(retention.poisoned),
  };
}

/** Plain objects and lists, all the way down; a Map stays writable, its type says that it is read-only. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Map) {
    for (const part of value.values()) deepFreeze(part);
    return value;
  }
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
