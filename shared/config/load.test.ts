import { describe, expect, test } from 'vitest';
import { loadPriceTable } from '../pricing.ts';
import { KNOWN_PROVIDERS } from '../providers.ts';
import { ConfigError } from './errors.ts';
import { loadConfig } from './load.ts';
import type { LoadConfigOptions } from './load.ts';

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

const FULL = `
server: { host: 0.0.0.0, port: "\${PORT_OF_SLUICE}", body_limit: 1MiB, request_timeout: 5m, keep_alive: 10s }
nats: { url: "nats://a:4222,nats://b:4222" }
database: { url: "postgres://u:p@db/sluice" }
redis: { url: "redis://cache:6379/1" }
data_dir: data
auth:
  admin_key: "\${file:secrets/admin}"
  keys: [{ name: ci, key: sk-1, team: platform }, { name: dev, key: sk-2 }]
providers:
  vllm:
    dialect: openai
    base_url: http://127.0.0.1:8000/v1/
    models:
      small: { price: { input: "0.10 USD", output: "0.30 USD", cached_input: "0.05 USD" } }
      big: { upstream: meta/llama-70b }
    concurrency: 64
    timeouts: { connect: 2s, first_token: 20s, between_tokens: 250ms, total: 5m }
  openai: { api_key: sk-o, base_url: "http://127.0.0.1:9/v1" }
  groq:
  simulated: {}
routes:
  chat:
    strategy: weighted
    targets: [{ model: vllm/small, weight: 3 }, openai/gpt-4o-mini]
    fallbacks: [simulated/echo, { model: groq/openai/gpt-oss-20b }]
    timeout: 60s
  plain: { targets: [vllm/big] }
logging: { level: debug, payloads: none }
`;

/** What a simulated model costs unless configured: 0.15 and 0.60 USD per million tokens. */
const pretended = { input: 150_000_000, output: 600_000_000 };

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
        },
        nats: { url: undefined },
        database: { url: undefined },
        redis: { url: undefined },
        dataDir: '/srv/.sluice',
        auth: { adminKey: undefined, keys: [] },
        providers: [
          {
            name: 'simulated',
            dialect: 'openai',
            baseUrl: undefined,
            models: new Map([
              ['echo', { name: 'echo', upstream: 'echo', price: pretended }],
              ['lorem', { name: 'lorem', upstream: 'lorem', price: pretended }],
            ]),
            listed: 'explicit',
            concurrency: 256,
            timeouts: { connectMs: 5_000, firstTokenMs: 60_000, betweenTokensMs: 60_000, totalMs: 600_000 },
          },
        ],
        routes: [],
        logging: { level: 'info' },
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
  const timeouts = { connectMs: 5_000, firstTokenMs: 60_000, betweenTokensMs: 60_000, totalMs: 600_000 };
  const usual = { dialect: 'openai', models: new Map(), listed: 'price-table', concurrency: 256, timeouts };
  expect(config).toEqual({
    file: '/srv/etc/my.yaml',
    server: { host: '0.0.0.0', port: 9_000, bodyLimitBytes: 1_048_576, requestTimeoutMs: 300_000, keepAliveMs: 10_000 },
    nats: { url: 'nats://a:4222,nats://b:4222' },
    database: { url: 'postgres://u:p@db/sluice' },
    redis: { url: 'redis://cache:6379/1' },
    dataDir: '/srv/etc/data',
    auth: {
      adminKey: 'adm',
      keys: [
        { name: 'ci', key: 'sk-1', team: 'platform' },
        { name: 'dev', key: 'sk-2', team: undefined },
      ],
    },
    providers: [
      {
        name: 'vllm',
        dialect: 'openai',
        baseUrl: 'http://127.0.0.1:8000/v1',
        models: new Map([
          [
            'small',
            {
              name: 'small',
              upstream: 'small',
              price: { input: 100_000_000, output: 300_000_000, cachedInput: 50_000_000 },
            },
          ],
          ['big', { name: 'big', upstream: 'meta/llama-70b' }],
        ]),
        listed: 'explicit',
        concurrency: 64,
        timeouts: { connectMs: 2_000, firstTokenMs: 20_000, betweenTokensMs: 250, totalMs: 300_000 },
      },
      { ...usual, name: 'openai', baseUrl: 'http://127.0.0.1:9/v1', apiKey: 'sk-o' },
      { ...usual, name: 'groq', baseUrl: 'https://api.groq.com/openai/v1', apiKey: 'gsk' },
      {
        ...usual,
        name: 'simulated',
        baseUrl: undefined,
        models: new Map(['echo', 'lorem'].map((name) => [name, { name, upstream: name, price: pretended }])),
        listed: 'explicit',
      },
      { ...usual, name: 'xai', baseUrl: 'https://api.x.ai/v1', apiKey: 'xai' },
    ],
    routes: [
      {
        name: 'chat',
        strategy: 'weighted',
        targets: [
          { provider: 'vllm', model: 'small', weight: 3 },
          { provider: 'openai', model: 'gpt-4o-mini', weight: 1 },
        ],
        fallbacks: [
          { provider: 'simulated', model: 'echo', weight: 1 },
          { provider: 'groq', model: 'openai/gpt-oss-20b', weight: 1 },
        ],
        timeoutMs: 60_000,
      },
      {
        name: 'plain',
        strategy: 'ordered',
        targets: [{ provider: 'vllm', model: 'big', weight: 1 }],
        fallbacks: [],
      },
    ],
    logging: { level: 'debug' },
  });
});

test('a Config is frozen, all the way down', () => {
  const config = load(FULL.replace('${file:secrets/admin}', 'x'), { PORT_OF_SLUICE: '1', GROQ_API_KEY: 'g' });
  const model = config.providers[0]?.models.get('small');
  for (const part of [config, config.server, config.providers, config.providers[0]?.timeouts, model, model?.price]) {
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
      { name: 'echo', upstream: 'echo', price: { input: 1e9, output: 2e9 } },
      { name: 'lorem', upstream: 'lorem', price: pretended },
      { name: 'e2', upstream: 'echo' },
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
