import type { z } from 'zod';
import { CAPABILITIES } from '../../pricing.ts';
import { SIMULATED } from '../../providers.ts';
import {
  InvalidValue,
  choice,
  duration,
  fitting,
  integer,
  list,
  named,
  off,
  rate,
  secret,
  section,
  share,
  shorthand,
  text,
  url,
} from '../fields.ts';
import { DEFAULT_BREAKER } from '../types.ts';
import { checkModelName, checkPlainName, checkRegion } from './names.ts';
import { HOUR, MINUTE, SECOND, WAIT } from './waits.ts';

const DEFAULTS = {
  /** Per provider and worker process: bounds the sockets and memory that one slow provider can hold. Chosen, not measured. */
  concurrency: 256,
  /** A TCP and TLS handshake takes well under a second anywhere on earth; 5 s allow for two lost packets. */
  connectMs: 5 * SECOND,
  /** Long prompts and reasoning models are silent for tens of seconds; who waits longer configures it. */
  firstTokenMs: MINUTE,
  /** A model that thinks between two chunks is silent for as long as before the first. */
  betweenTokensMs: MINUTE,
  /** As a request's own deadline: an attempt outlives no request. */
  totalMs: 10 * MINUTE,
  checkEveryMs: 5 * SECOND,
  /** What every OpenAI-compatible server has, and what costs nothing. */
  checkPath: '/models',
} as const;

export const LATER_DIALECTS = ['anthropic', 'azure-openai', 'bedrock', 'cohere', 'gemini', 'openai-responses'] as const;

const slots = { min: 1, max: 100_000 };
/** A million a second; beyond that nothing is limited. */
const perMinute = { min: 1, max: 60_000_000 };
const calls = { min: 1, max: 100_000 };

const limitFields = section({
  requests_per_minute: integer(perMinute).optional(),
  tokens_per_minute: integer({ ...perMinute, max: 1_000_000_000_000 }).optional(),
});

const priceFields = section({ input: rate(), output: rate(), cached_input: rate().optional() });

const modelFields = section({
  upstream: text().optional(),
  price: priceFields.optional(),
  limits: limitFields.prefault({}),
  concurrency: integer(slots).optional(),
  capabilities: list(choice(CAPABILITIES)).optional(),
  context: integer({ min: 1, max: 1_000_000_000 }).optional(),
});

const timeoutFields = section({
  connect: duration(WAIT).default(DEFAULTS.connectMs),
  first_token: duration(WAIT).default(DEFAULTS.firstTokenMs),
  between_tokens: duration(WAIT).default(DEFAULTS.betweenTokensMs),
  total: duration(WAIT).default(DEFAULTS.totalMs),
});

/** A number, or bounds that it moves between. */
const concurrencyFields = shorthand(
  integer(slots).transform((max) => ({ min: undefined, max })),
  fitting(section({ min: integer(slots).default(slots.min), max: integer(slots) }), ({ min, max }) =>
    min < max ? undefined : { key: 'min', message: 'must be less than `max`' },
  ),
);

const breakerFields = fitting(
  section({
    consecutive_failures: integer(calls).default(DEFAULT_BREAKER.consecutiveFailures),
    failure_ratio: share().default(DEFAULT_BREAKER.failureRatio),
    window: duration({ min: SECOND, max: HOUR }).default(DEFAULT_BREAKER.windowMs),
    min_requests: integer(calls).default(DEFAULT_BREAKER.minRequests),
    open_for: duration({ min: 100, max: HOUR }).default(DEFAULT_BREAKER.openForMs),
    slow_call: duration(WAIT).optional(),
    slow_ratio: share().optional(),
  }),
  ({ slow_call: slowCall, slow_ratio: slowRatio }) =>
    slowRatio !== undefined && slowCall === undefined
      ? { key: 'slow_ratio', message: 'has no effect without `slow_call`' }
      : undefined,
);

const healthCheckFields = fitting(
  section({
    every: duration({ min: SECOND, max: HOUR }).default(DEFAULTS.checkEveryMs),
    timeout: duration({ min: 1, max: HOUR }).optional(),
    path: text(checkPath).default(DEFAULTS.checkPath),
  }),
  ({ every, timeout = 0 }) =>
    timeout > every ? { key: 'timeout', message: 'must not be longer than `every`' } : undefined,
);

const poolShape = {
  models: named(checkModelName, () => modelFields).optional(),
  region: text(checkRegion).optional(),
  concurrency: concurrencyFields.default({ min: undefined, max: DEFAULTS.concurrency }),
  limits: limitFields.prefault({}),
  breaker: shorthand(off(), breakerFields).prefault({}),
  timeouts: timeoutFields.prefault({}),
};

const endpointFields = section(
  {
    dialect: choice(['openai'], LATER_DIALECTS).default('openai'),
    base_url: url(['http', 'https'], checkBaseUrl).optional(),
    api_key: secret().optional(),
    health_check: healthCheckFields.optional(),
    prefill: choice(['none', 'assistant', 'prefix', 'continue_final_message']).optional(),
    output_limit: choice(['max_completion_tokens', 'max_tokens']).optional(),
    ...poolShape,
  },
  ['api_keys'],
);

/** What the simulated provider has none of is not a key of it. */
const simulatedFields = section(poolShape).transform((pool): z.output<typeof endpointFields> => ({
  ...pool,
  dialect: 'openai',
}));

export const providersFields = named(checkPlainName('provider'), (name) =>
  name === SIMULATED.name ? simulatedFields : endpointFields,
);

function checkBaseUrl({ username, password, search, hash }: URL): void {
  if (username !== '' || password !== '') throw new InvalidValue('must not contain credentials', 'use `api_key`');
  if (search !== '' || hash !== '') throw new InvalidValue('must not contain `?` or `#`: paths are appended to it');
}

function checkPath(path: string): void {
  if (!/^\/[^\s#]*$/.test(path)) throw new InvalidValue('must begin with `/`, and not contain spaces or `#`');
}
