import { describe, expect, test } from 'vitest';
import { loadPriceTable } from '../pricing.ts';
import { KNOWN_PROVIDERS } from '../providers.ts';
import { ConfigError } from './errors.ts';
import { loadConfig } from './load.ts';
import type { LoadConfigOptions } from './load.ts';
import { DEFAULT_BREAKER, DEFAULT_COMPLEXITY, DEFAULT_POLICY, NO_HEDGE } from './types.ts';

type Env = LoadConfigOptions['env'];

const CWD = '/srv';
const MISSING = Object.assign(new Error('no such file'), { code: 'ENOENT' });

/** `files` by absolute path; a text alone is /srv/sluice.yaml. */
function load(files: string | Record<string, string>, env: Env = {}, config?: string) {
  const byPath = typeof files === 'string' ? { '/srv/sluice.yaml': files } : files;
  const readFile = (path: string) => {
    const text = byPath[path];
    if (text === undefined) throw MISSING;
    return text;
  };
  return loadConfig({ argv: { config }, env, cwd: CWD, readFile });
}

function problemsOf(files: string | Record<string, string>, env: Env = {}, config?: string) {
  try {
    load(files, env, config);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

const DAY = 86_400_000;
const FULL = `
server: { host: 0.0.0.0, port: "\${PORT_OF_SLUICE}", body_limit: 1MiB, request_timeout: 5m, keep_alive: 10s, trusted_proxies: [10.0.0.0/8] }
nats: { url: "nats://a:4222,nats://b:4222" }
database: { url: "postgres://u:p@db/sluice" }
redis: { url: "redis://cache:6379/1" }
data_dir: data
auth:
  admin_key: "\${file:secrets/admin}"
  keys:
    - { name: ci, key: sk-1, team: platform, overrides: [strategy, max_cost] }
    - { name: dev, key: sk-2, overrides: none, limits: { concurrent: 2 } }
    - { name: ops, key: sk-3, overrides: all }
    - name: bound
      key: sk-4
      user: ada
      organisation: acme
      role: viewer
      expires: 2027-01-31
      routes: [fast]
      models: [vllm/*, gpt-4o]
      regions: [eu]
      networks: [10.0.0.0/8, "::1"]
      may_name: [feature, tags]
      tags: { env: test }
      log_payloads: redacted
  secret: 0123456789abcdef
  jwt:
    - issuer: https://id.example.com/
      name: acme
      audience: [sluice, api]
      jwks_url: https://id.example.com/keys
      claims: { user: email, team: "https://acme/team", organisation: org, role: realm_access.roles, tags: tags }
      roles: { gateway-admins: admin }
    - { issuer: "https://other.example.com", audience: sluice }
providers:
  vllm:
    dialect: openai
    base_url: http://127.0.0.1:8000/v1/
    models:
      small: { price: { input: "0.10 USD", output: "0.30 USD", cached_input: "0.05 USD" } }
      big:
        upstream: meta/llama-70b
        limits: { tokens_per_minute: 9000 }
        concurrency: 8
        capabilities: [tools, vision]
        context: 128000
    region: eu
    concurrency: { min: 4, max: 64 }
    limits: { requests_per_minute: 600, tokens_per_minute: 200000 }
    breaker:
      { consecutive_failures: 3, failure_ratio: 20%, window: 1m, min_requests: 10, open_for: 5s, slow_call: 20s, slow_ratio: 0.4 }
    health_check: { every: 3s, timeout: 1s, path: /health }
    prefill: continue_final_message
    timeouts: { connect: 2s, first_token: 20s, between_tokens: 250ms, total: 5m }
  openai: { api_key: sk-o, base_url: "http://127.0.0.1:9/v1", region: us, breaker: off }
  groq:
  simulated: { region: here, concurrency: 7, limits: { requests_per_minute: 60 }, breaker: off }
routes:
  chat:
    strategy: weighted
    targets: [{ model: vllm/small, weight: 3 }, openai/gpt-4o-mini]
    fallbacks: [simulated/echo, { model: groq/openai/gpt-oss-20b }]
    timeout: 60s
    regions: [eu, us]
    on_limit: { queue: 20s, then: { downgrade: plain } }
    on_stream_break: continue
    on_content_filter: fallback
    hedge: { after: 800ms, share: 10% }
    max_attempts: 3
    max_cost: "0.05 USD"
    limits: { requests_per_minute: 3000 }
  plain: { targets: [vllm/big] }
  split:
    strategy: complexity
    variants:
      control: { weight: 9, targets: [{ model: vllm/small, tier: simple }, { model: vllm/big, tier: complex }] }
      candidate: { targets: [simulated/echo] }
    complexity: { medium: 0.2, complex: 70%, teams: { premium: complex } }
routers:
  eu:
    strategy: ordered
    regions: [eu]
    timeout: 5s
    on_limit: reject
    on_stream_break: error
    on_content_filter: error
    hedge: off
    max_attempts: 2
    max_cost: "1 USD"
    fallbacks: [vllm/small]
    routes:
      chat: { targets: [vllm/small], on_limit: { downgrade: plain } }
  open:
limits:
  total: { requests_per_minute: 60000, burst: 2000 }
  per_user: { tokens_per_minute: 100000 }
  "team:platform": { cost: { amount: "5 USD", per: 1h }, concurrent: 50 }
queue: { weights: { platform: 3 } }
logging: { level: debug, payloads: none }
retention: { attempts: 800d, rollups_hourly: 31d, rollups_daily: 3000d, poisoned: forever }
`;

/** What a simulated model costs unless configured: 0.15 and 0.60 USD per million tokens. */
const pretended = { input: 150_000_000, output: 600_000_000 };

const unlimited = { requestsPerMinute: undefined, tokensPerMinute: undefined };

/** A model of which no more is said. */
const bare = { limits: unlimited, concurrency: undefined, capabilities: undefined, contextTokens: undefined };

/** What a provider has of which no more is said. */
const usual = {
  dialect: 'openai',
  models: new Map(),
  region: undefined,
  concurrency: 256,
  minConcurrency: undefined,
  limits: unlimited,
  breaker: DEFAULT_BREAKER,
  healthCheck: undefined,
  prefill: 'none',
  outputLimit: 'max_tokens',
  timeouts: { connectMs: 5_000, firstTokenMs: 60_000, betweenTokensMs: 60_000, totalMs: 600_000 },
};

const simulated = {
  ...usual,
  name: 'simulated',
  baseUrl: undefined,
  models: new Map(['echo', 'lorem'].map((name) => [name, { ...bare, name, upstream: name, price: pretended }])),
  listed: 'explicit',
};

describe('what is not configured', () => {
  test.each([{ text: undefined }, { text: '' }, { text: '# only a comment' }, { text: 'server:\nroutes: {}\n' }])(
    'defaults with $text',
    ({ text }) => {
      const config = load(text === undefined ? {} : text);
      expect(config).toEqual({
        file: text === undefined ? undefined : '/srv/sluice.yaml',
        server: {
          host: '127.0.0.1',
          port: 8080,
          bodyLimitBytes: 33_554_432,
          requestTimeoutMs: 600_000,
          keepAliveMs: 15_000,
          trustedProxies: [],
        },
        nats: { url: undefined },
        database: { url: undefined },
        redis: { url: undefined },
        dataDir: '/srv/.sluice',
        auth: { adminKey: undefined, secret: undefined, keys: [], jwt: [] },
        providers: [simulated],
        routes: [],
        routers: [],
        limits: new Map(),
        queueWeights: new Map(),
        budgets: [],
        alerts: { webhooks: [] },
        logging: { level: 'info' },
        retention: {
          attemptsMs: 400 * DAY,
          hourlyRollupsMs: 90 * DAY,
          dailyRollupsMs: undefined,
          poisonedMs: 30 * DAY,
        },
      });
    },
  );

  test('blank values are not given', () => {
    const config = load('nats: { url: "" }\nserver: { port: "${X:-}", host: }\nauth: { admin_key: "${K:-}" }');
    expect(config.nats.url).toBeUndefined();
    expect(config.server).toMatchObject({ port: 8080, host: '127.0.0.1' });
    expect(config.auth.adminKey).toBeUndefined();
  });
});

test('a file with every supported key', () => {
  const env = {
    PORT_OF_SLUICE: '9000',
    GROQ_API_KEY: 'gsk',
    OPENAI_API_KEY: 'sk-env',
    XAI_API_KEY: 'xai',
    CEREBRAS_API_KEY: '',
  };
  const config = load({ '/srv/etc/my.yaml': FULL, '/srv/etc/secrets/admin': 'adm\n' }, env, 'etc/my.yaml');
  const target = (provider: string, model: string) => ({ provider, model, weight: 1, tier: undefined });
  expect(config).toEqual({
    file: '/srv/etc/my.yaml',
    server: {
      ...{ host: '0.0.0.0', port: 9_000, bodyLimitBytes: 1_048_576, requestTimeoutMs: 300_000, keepAliveMs: 10_000 },
      trustedProxies: ['10.0.0.0/8'],
    },
    nats: { url: 'nats://a:4222,nats://b:4222' },
    database: { url: 'postgres://u:p@db/sluice' },
    redis: { url: 'redis://cache:6379/1' },
    dataDir: '/srv/etc/data',
    auth: {
      adminKey: 'adm',
      keys: [
        { name: 'ci', key: 'sk-1', team: 'platform', overrides: ['strategy', 'max_cost'], policy: {} },
        { name: 'dev', key: 'sk-2', overrides: [], policy: {} },
        { name: 'ops', key: 'sk-3', overrides: 'all', policy: {} },
        {
          ...{ name: 'bound', key: 'sk-4', user: 'ada', organisation: 'acme', overrides: 'all' },
          policy: {
            ...{ role: 'viewer', expiresEpochMs: Date.UTC(2027, 0, 31), routes: ['fast'] },
            ...{ models: ['vllm/*', 'gpt-4o'], regions: ['eu'], networks: ['10.0.0.0/8', '::1'] },
            ...{ mayName: ['feature', 'tags'], tags: { env: 'test' }, logPayloads: 'redacted' },
          },
        },
      ],
      secret: '0123456789abcdef',
      jwt: [
        {
          ...{ issuer: 'https://id.example.com/', name: 'acme', audience: ['sluice', 'api'] },
          jwksUrl: 'https://id.example.com/keys',
          claims: {
            ...{ user: 'email', team: 'https://acme/team', organisation: 'org' },
            ...{ role: 'realm_access.roles', tags: 'tags' },
          },
          roles: new Map([['gateway-admins', 'admin']]),
        },
        {
          ...{ issuer: 'https://other.example.com', name: 'other.example.com', audience: ['sluice'] },
          claims: { user: 'sub' },
          roles: new Map(),
        },
      ],
    },
    providers: [
      {
        name: 'vllm',
        dialect: 'openai',
        baseUrl: 'http://127.0.0.1:8000/v1',
        models: new Map<string, unknown>([
          [
            'small',
            {
              ...bare,
              name: 'small',
              upstream: 'small',
              price: { input: 100_000_000, output: 300_000_000, cachedInput: 50_000_000 },
            },
          ],
          [
            'big',
            {
              name: 'big',
              upstream: 'meta/llama-70b',
              limits: { requestsPerMinute: undefined, tokensPerMinute: 9_000 },
              concurrency: 8,
              capabilities: ['tools', 'vision'],
              contextTokens: 128_000,
            },
          ],
        ]),
        listed: 'explicit',
        region: 'eu',
        concurrency: 64,
        minConcurrency: 4,
        limits: { requestsPerMinute: 600, tokensPerMinute: 200_000 },
        breaker: {
          consecutiveFailures: 3,
          failureRatio: 0.2,
          windowMs: 60_000,
          minRequests: 10,
          openForMs: 5_000,
          slowCallMs: 20_000,
          slowRatio: 0.4,
        },
        healthCheck: { everyMs: 3_000, timeoutMs: 1_000, path: '/health' },
        prefill: 'continue_final_message',
        outputLimit: 'max_tokens',
        timeouts: { connectMs: 2_000, firstTokenMs: 20_000, betweenTokensMs: 250, totalMs: 300_000 },
      },
      {
        ...usual,
        name: 'openai',
        outputLimit: 'max_completion_tokens',
        listed: 'price-table',
        baseUrl: 'http://127.0.0.1:9/v1',
        apiKey: 'sk-o',
        region: 'us',
        breaker: undefined,
      },
      {
        ...{ ...usual, name: 'groq', listed: 'price-table', baseUrl: 'https://api.groq.com/openai/v1', apiKey: 'gsk' },
        outputLimit: 'max_completion_tokens',
      },
      {
        ...simulated,
        region: 'here',
        concurrency: 7,
        limits: { requestsPerMinute: 60, tokensPerMinute: undefined },
        breaker: undefined,
      },
      {
        ...{ ...usual, name: 'xai', listed: 'price-table', baseUrl: 'https://api.x.ai/v1', apiKey: 'xai' },
        outputLimit: 'max_completion_tokens',
      },
    ],
    routes: [
      {
        name: 'chat',
        policy: {
          strategy: 'weighted',
          regions: ['eu', 'us'],
          timeoutMs: 60_000,
          onLimit: { kind: 'queue', forMs: 20_000, then: { kind: 'downgrade', to: 'plain' } },
          onStreamBreak: 'continue',
          onContentFilter: 'fallback',
          hedge: { afterMs: 800, share: 0.1 },
          maxAttempts: 3,
          maxCostNanoUsd: 50_000_000,
        },
        targets: [{ ...target('vllm', 'small'), weight: 3 }, target('openai', 'gpt-4o-mini')],
        variants: [],
        fallbacks: [target('simulated', 'echo'), target('groq', 'openai/gpt-oss-20b')],
        complexity: DEFAULT_COMPLEXITY,
      },
      {
        name: 'plain',
        policy: DEFAULT_POLICY,
        targets: [target('vllm', 'big')],
        variants: [],
        fallbacks: [],
        complexity: DEFAULT_COMPLEXITY,
      },
      {
        name: 'split',
        policy: { ...DEFAULT_POLICY, strategy: 'complexity' },
        targets: [],
        variants: [
          {
            name: 'control',
            weight: 9,
            targets: [
              { ...target('vllm', 'small'), tier: 'simple' },
              { ...target('vllm', 'big'), tier: 'complex' },
            ],
          },
          { name: 'candidate', weight: 1, targets: [target('simulated', 'echo')] },
        ],
        fallbacks: [],
        complexity: { medium: 0.2, complex: 0.7, teams: new Map([['premium', 'complex']]) },
      },
    ],
    routers: [
      {
        name: 'eu',
        overrides: {
          strategy: 'ordered',
          regions: ['eu'],
          timeoutMs: 5_000,
          onLimit: { kind: 'reject' },
          onStreamBreak: 'error',
          onContentFilter: 'error',
          hedge: NO_HEDGE,
          maxAttempts: 2,
          maxCostNanoUsd: 1_000_000_000,
          fallbacks: ['vllm/small'],
        },
        routes: [
          {
            name: 'chat',
            policy: { ...DEFAULT_POLICY, onLimit: { kind: 'downgrade', to: 'plain' } },
            targets: [target('vllm', 'small')],
            variants: [],
            fallbacks: [],
            complexity: DEFAULT_COMPLEXITY,
          },
        ],
      },
      { name: 'open', overrides: {}, routes: [] },
    ],
    limits: new Map([
      ['total', [{ requestsPerMinute: 60_000, burst: 2_000 }]],
      ['user:*', [{ tokensPerMinute: 100_000 }]],
      ['team:platform', [{ cost: { nanoUsd: 5_000_000_000, perMs: 3_600_000 }, concurrent: 50 }]],
      ['route:chat', [{ requestsPerMinute: 3_000 }]],
      ['key:config:dev', [{ concurrent: 2 }]],
    ]),
    queueWeights: new Map([['platform', 3]]),
    budgets: [],
    alerts: { webhooks: [] },
    logging: { level: 'debug' },
    retention: {
      attemptsMs: 800 * DAY,
      hourlyRollupsMs: 31 * DAY,
      dailyRollupsMs: 3_000 * DAY,
      poisonedMs: undefined,
    },
  });
});

test('a Config is frozen, all the way down', () => {
  const config = load(FULL.replace('${file:secrets/admin}', 'x'), { PORT_OF_SLUICE: '1', GROQ_API_KEY: 'g' });
  const model = config.providers[0]?.models.get('small');
  const route = config.routes[0];
  const parts = [config, config.server, config.providers, config.providers[0]?.timeouts, model, model?.price];
  for (const part of [...parts, route?.policy, route?.policy.onLimit, config.routers[0]?.overrides]) {
    expect(Object.isFrozen(part)).toBe(true);
  }
});

describe('where the file is', () => {
  const files = { '/srv/sluice.yaml': 'data_dir: a', '/srv/b.yaml': 'data_dir: b', '/etc/c.yaml': 'data_dir: c' };

  test.each([
    {
      why: '--config before SLUICE_CONFIG',
      config: '/etc/c.yaml',
      env: { SLUICE_CONFIG: 'b.yaml' },
      dataDir: '/etc/c',
    },
    { why: 'SLUICE_CONFIG before ./sluice.yaml', env: { SLUICE_CONFIG: 'b.yaml' }, dataDir: '/srv/b' },
    { why: './sluice.yaml', env: { SLUICE_CONFIG: '' }, dataDir: '/srv/a' },
  ])('$why', ({ config, env, dataDir }) => {
    expect(load(files, env, config).dataDir).toBe(dataDir);
  });

  test('a file that is named must be there', () => {
    const message = 'cannot read the file /srv/nope.yaml: ENOENT';
    expect(problemsOf({}, {}, 'nope.yaml')).toEqual([{ path: '--config', message }]);
    expect(problemsOf({}, { SLUICE_CONFIG: 'nope.yaml' })).toEqual([{ path: 'SLUICE_CONFIG', message }]);
  });
});

describe('the environment', () => {
  test('wins over the file', () => {
    const text = 'server: { host: a, port: 1 }\nnats: { url: "nats://file" }\ndata_dir: x\nlogging: { level: error }';
    const config = load(text, {
      SLUICE_HOST: '0.0.0.0',
      PORT: '2',
      SLUICE_PORT: '3',
      SLUICE_DATA_DIR: 'data',
      SLUICE_ADMIN_KEY: 'adm',
      NATS_URL: 'nats://env',
      DATABASE_URL: 'postgresql:///sluice?host=/run/postgresql',
      REDIS_URL: 'rediss://env',
      LOG_LEVEL: 'warn',
    });
    expect(config).toMatchObject({
      server: { host: '0.0.0.0', port: 3 },
      dataDir: '/srv/data',
      auth: { adminKey: 'adm' },
      nats: { url: 'nats://env' },
      database: { url: 'postgresql:///sluice?host=/run/postgresql' },
      redis: { url: 'rediss://env' },
      logging: { level: 'warn' },
    });
  });

  test('PORT counts when SLUICE_PORT is not set, and an empty variable does not', () => {
    expect(load('server: { port: 1 }', { PORT: '2', SLUICE_PORT: '' }).server.port).toBe(2);
    expect(load('server: { port: 1 }', { PORT: '' }).server.port).toBe(1);
  });

  test('a problem names the variable, not the file', () => {
    expect(problemsOf('server:\n  port: 1', { PORT: 'abc', NATS_URL: 'localhost' })).toEqual([
      { path: 'PORT', message: 'must be an integer from 0 to 65535' },
      { path: 'NATS_URL', message: 'must be a URL that begins with nats:// or tls://' },
    ]);
  });

  test('a provider key with a line break would break the header it is sent in', () => {
    expect(problemsOf('', { GROQ_API_KEY: 'gsk\n' })).toEqual([
      { path: 'GROQ_API_KEY', message: 'must be printable ASCII without spaces' },
    ]);
  });
});

describe('providers', () => {
  const named = (text: string, env: Env = {}) => load(text, env).providers.map(({ name }) => name);

  test.each([
    { text: '', env: {}, names: ['simulated'], why: 'nothing is configured' },
    { text: '', env: { GROQ_API_KEY: 'g', OPENAI_API_KEY: 'o' }, names: ['openai', 'groq'], why: 'keys are set' },
    {
      text: 'providers: { simulated: {} }',
      env: { GROQ_API_KEY: 'g' },
      names: ['simulated', 'groq'],
      why: 'asked for',
    },
    { text: 'providers: { my: { base_url: "http://x" } }', env: {}, names: ['my'], why: 'only those of the file' },
    { text: 'providers: { groq: }', env: { GROQ_API_KEY: 'g' }, names: ['groq'], why: 'the file and a key: once' },
  ])('$names when $why', ({ text, env, names }) => {
    expect(named(text, env)).toEqual(names);
  });

  test.each([
    { text: 'providers: { my: { base_url: "http://x" } }', listed: 'open' },
    { text: 'providers: { my: { base_url: "http://x", models: { a: } } }', listed: 'explicit' },
    { text: 'providers: { openai: { api_key: k } }', listed: 'price-table' },
    { text: 'providers: { openrouter: { api_key: k } }', listed: 'open' },
    { text: 'providers: { openai: { api_key: k, models: { a: } } }', listed: 'explicit' },
  ])('$listed: $text', ({ text, listed }) => {
    expect(load(text).providers[0]?.listed).toBe(listed);
  });

  test('a simulated model may have a price, or another name', () => {
    const price = '{ input: "1 USD", output: "2 USD" }';
    const [provider] = load(
      `providers: { simulated: { models: { echo: { price: ${price} }, e2: { upstream: echo } } } }`,
    ).providers;
    expect([...(provider?.models.values() ?? [])]).toEqual([
      { ...bare, name: 'echo', upstream: 'echo', price: { input: 1e9, output: 2e9 } },
      { ...bare, name: 'lorem', upstream: 'lorem', price: pretended },
      { ...bare, name: 'e2', upstream: 'echo' },
    ]);
  });

  test('a known provider at another address needs no key', () => {
    expect(load('providers: { openai: { base_url: "http://127.0.0.1:1/v1" } }').providers[0]).not.toHaveProperty(
      'apiKey',
    );
  });

  test('the price table has the known providers, except those that have no prices of their own', () => {
    const table = loadPriceTable();
    const unlisted = KNOWN_PROVIDERS.filter(({ name }) => table.listModels(name).length === 0);
    expect(unlisted.map(({ name }) => name)).toEqual(['openrouter']);
  });
});

describe('what a provider is told', () => {
  const provider = (fields: string, name = 'x') =>
    load(`providers: { ${name}: { api_key: k, base_url: "http://x/v1", ${fields} } }`).providers[0];

  test.each([
    { fields: 'concurrency: 8', is: { concurrency: 8, minConcurrency: undefined } },
    { fields: 'concurrency: { max: 8 }', is: { concurrency: 8, minConcurrency: 1 } },
    { fields: 'breaker: {}', is: { breaker: DEFAULT_BREAKER } },
    { fields: 'breaker: { open_for: 1s }', is: { breaker: { ...DEFAULT_BREAKER, openForMs: 1_000 } } },
    { fields: 'breaker:', is: { breaker: DEFAULT_BREAKER } },
    { fields: 'health_check: {}', is: { healthCheck: { everyMs: 5_000, timeoutMs: 2_000, path: '/models' } } },
    {
      fields: 'health_check: { every: 1s }',
      is: { healthCheck: { everyMs: 1_000, timeoutMs: 1_000, path: '/models' } },
    },
    { fields: 'limits: { requests_per_minute: "60" }', is: { limits: { ...unlimited, requestsPerMinute: 60 } } },
  ])('$fields', ({ fields, is }) => {
    expect(provider(fields)).toMatchObject(is);
  });

  test.each([
    { name: 'mistral', text: 'api_key: k', prefill: 'prefix' },
    { name: 'openrouter', text: 'api_key: k', prefill: 'assistant' },
    { name: 'openai', text: 'api_key: k', prefill: 'none' },
    { name: 'deepseek', text: 'api_key: k', prefill: 'none' },
    { name: 'deepseek', text: 'api_key: k, base_url: "https://api.deepseek.com/beta/"', prefill: 'prefix' },
    { name: 'mistral', text: 'api_key: k, prefill: none', prefill: 'none' },
    { name: 'mine', text: 'base_url: "http://x"', prefill: 'none' },
    { name: 'mine', text: 'base_url: "http://x", prefill: assistant', prefill: 'assistant' },
  ])('a text is continued by $name ($text) as: $prefill', ({ name, text, prefill }) => {
    expect(load(`providers: { ${name}: { ${text} } }`).providers[0]?.prefill).toBe(prefill);
  });

  test.each([
    { name: 'openai', text: 'api_key: k', outputLimit: 'max_completion_tokens' },
    { name: 'mistral', text: 'api_key: k', outputLimit: 'max_tokens' },
    { name: 'mine', text: 'base_url: "http://x"', outputLimit: 'max_tokens' },
    {
      name: 'mine',
      text: 'base_url: "http://x", output_limit: max_completion_tokens',
      outputLimit: 'max_completion_tokens',
    },
  ])('output is bounded at $name ($text) by: $outputLimit', ({ name, text, outputLimit }) => {
    expect(load(`providers: { ${name}: { ${text} } }`).providers[0]?.outputLimit).toBe(outputLimit);
  });
});

describe('what a route is told', () => {
  const policy = (fields: string) =>
    load(`routes: { other: { targets: [simulated/lorem] }, r: { targets: [simulated/echo], ${fields} } }`).routes[1]
      ?.policy;
  const reject = { kind: 'reject' };

  test.each([
    { fields: 'on_limit: reject', is: { onLimit: reject } },
    { fields: 'on_limit: queue', is: { onLimit: { kind: 'queue', forMs: undefined, then: reject } } },
    { fields: 'on_limit: { queue: 2s }', is: { onLimit: { kind: 'queue', forMs: 2_000, then: reject } } },
    { fields: 'on_limit: { queue: 2s, then: reject }', is: { onLimit: { kind: 'queue', forMs: 2_000, then: reject } } },
    { fields: 'on_limit: { downgrade: other }', is: { onLimit: { kind: 'downgrade', to: 'other' } } },
    {
      fields: 'on_limit: { downgrade: simulated/lorem }',
      is: { onLimit: { kind: 'downgrade', to: 'simulated/lorem' } },
    },
    { fields: 'hedge: off', is: { hedge: undefined } },
    { fields: 'hedge: { share: 0 }', is: { hedge: undefined } },
    { fields: 'hedge: {}', is: { hedge: { afterMs: 'p95', share: 0.05 } } },
    { fields: 'hedge: { after: p95, share: 0.5% }', is: { hedge: { afterMs: 'p95', share: 0.005 } } },
    { fields: 'hedge: { share: "1" }', is: { hedge: { afterMs: 'p95', share: 1 } } },
    { fields: 'max_attempts: "3"', is: { maxAttempts: 3 } },
  ])('$fields', ({ fields, is }) => {
    expect(policy(fields)).toEqual({ ...DEFAULT_POLICY, ...is });
  });

  test.each(['peak_ewma', 'weighted', 'sticky'])('a weight counts with %s', (strategy) => {
    const text = `routes: { r: { strategy: ${strategy}, targets: [{ model: simulated/echo, weight: 2 }] } }`;
    expect(load(text).routes[0]?.targets[0]?.weight).toBe(2);
  });

  test('one may be downgraded to the next, and a router’s own to one of the whole gateway', () => {
    const routes = (names: string[]) =>
      names.map((name, i) => {
        const next = names[i + 1];
        return `${name}: { targets: [simulated/echo]${next === undefined ? '' : `, on_limit: { downgrade: ${next} }`} }`;
      });
    const text = `routes: { ${routes(['a', 'b', 'c']).join(', ')} }\nrouters: { x: { routes: { ${routes(['d', 'a'])[0]} } } }`;
    expect(load(text).routers[0]?.routes[0]?.policy.onLimit).toEqual({ kind: 'downgrade', to: 'a' });
  });
});
