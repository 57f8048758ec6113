import type { z } from 'zod';
import { choice, duration, integer, list, named, section, size, text, url, urlList } from './fields.ts';
import { authFields } from './schema/auth.ts';
import { checkNetwork } from './schema/names.ts';
import { providersFields } from './schema/providers.ts';
import { routersFields, routesFields } from './schema/routes.ts';
import { LONGEST, MINUTE, SECOND } from './schema/waits.ts';

const DEFAULTS = {
  /** This machine only: who opens the door to others says so. */
  host: '127.0.0.1',
  port: 8080,
  /** A request with a few images in base64 fits; a body is held in memory once per request in flight. */
  bodyLimitBytes: 32 * 1_024 ** 2,
  /** OpenAI's SDKs give up after 10 minutes. */
  requestTimeoutMs: 10 * MINUTE,
  /** Half of 30 s: proxies and load balancers cut connections that are silent for about 30 to 60 s. */
  keepAliveMs: 15 * SECOND,
  dataDir: '.sluice',
} as const;

const serverFields = section({
  host: text().default(DEFAULTS.host),
  port: integer({ min: 0, max: 65_535 }).default(DEFAULTS.port),
  body_limit: size({ min: 1_024, max: 1_024 ** 3 }).default(DEFAULTS.bodyLimitBytes),
  request_timeout: duration({ min: SECOND, max: LONGEST }).default(DEFAULTS.requestTimeoutMs),
  keep_alive: duration({ min: SECOND, max: 10 * MINUTE }).default(DEFAULTS.keepAliveMs),
  trusted_proxies: list(text(checkNetwork)).default([]),
});

/** The file as the user writes it, checked value by value; what concerns several values is in check-references.ts. */
export const ConfigFile = section(
  {
    server: serverFields.prefault({}),
    nats: section({ url: urlList(['nats', 'tls']).optional() }).prefault({}),
    database: section({ url: url(['postgres', 'postgresql']).optional() }).prefault({}),
    redis: section({ url: url(['redis', 'rediss']).optional() }).prefault({}),
    data_dir: text().default(DEFAULTS.dataDir),
    auth: authFields.prefault({}),
    providers: providersFields.prefault({}),
    routes: routesFields.prefault({}),
    routers: routersFields.prefault({}),
    queue: section({
      weights: named(
        () => undefined,
        () => integer({ min: 1, max: 1_000 }),
      ).prefault({}),
    }).prefault({}),
    logging: section({
      level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
      payloads: choice(['none'], ['redacted', 'full']).default('none'),
    }).prefault({}),
  },
  ['guardrails', 'limits', 'budgets', 'telemetry'],
);
export type ConfigFile = z.output<typeof ConfigFile>;
