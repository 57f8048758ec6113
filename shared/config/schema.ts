import type { z } from 'zod';
import { choice, duration, integer, list, named, section, size, text, url, urlList, wordOrDuration } from './fields.ts';
import { authFields } from './schema/auth.ts';
import { alertsFields, budgetsFields } from './schema/budgets.ts';
import { limitsFields } from './schema/limits.ts';
import { checkNetwork } from './schema/names.ts';
import { providersFields } from './schema/providers.ts';
import { routersFields, routesFields } from './schema/routes.ts';
import { HOUR, LONGEST, MINUTE, SECOND } from './schema/waits.ts';

const DAY = 24 * HOUR;
/** For less than a month nothing is kept: budgets of a month look back. For ever begins at a century. */
const KEPT = { min: 31 * DAY, max: 36_525 * DAY };

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
  /** A year and the month that it began in: last year's same month can be looked at one by one. */
  attemptsKept: 400 * DAY,
  /** A quarter by hours; older times are told by days. */
  hourlyKept: 90 * DAY,
  poisonedKept: 30 * DAY,
} as const;

const serverFields = section({
  host: text().default(DEFAULTS.host),
  port: integer({ min: 0, max: 65_535 }).default(DEFAULTS.port),
  body_limit: size({ min: 1_024, max: 1_024 ** 3 }).default(DEFAULTS.bodyLimitBytes),
  request_timeout: duration({ min: SECOND, max: LONGEST }).default(DEFAULTS.requestTimeoutMs),
  keep_alive: duration({ min: SECOND, max: 10 * MINUTE }).default(DEFAULTS.keepAliveMs),
  trusted_proxies: list(text(checkNetwork)).default([]),
});

const kept = () => wordOrDuration('forever', KEPT);

const retentionFields = section({
  attempts: kept().default(DEFAULTS.attemptsKept),
  rollups_hourly: kept().default(DEFAULTS.hourlyKept),
  rollups_daily: kept().default('forever'),
  poisoned: wordOrDuration('forever', { ...KEPT, min: DAY }).default(DEFAULTS.poisonedKept),
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
    limits: limitsFields.prefault({}),
    queue: section({
      weights: named(
        () => undefined,
        () => integer({ min: 1, max: 1_000 }),
      ).prefault({}),
    }).prefault({}),
    retention: retentionFields.prefault({}),
    budgets: budgetsFields.default([]),
    alerts: alertsFields.prefault({}),
    logging: section({
      level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
      payloads: choice(['none'], ['redacted', 'full']).default('none'),
    }).prefault({}),
  },
  ['guardrails', 'telemetry'],
);
export type ConfigFile = z.output<typeof ConfigFile>;
