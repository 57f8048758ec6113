import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConfigError } from './errors.ts';
import { loadConfig } from './load.ts';

type Env = Readonly<Record<string, string>>;

function problemsOf(text: string, env: Env = {}) {
  try {
    loadConfig({ argv: { config: 'sluice.yaml' }, env, cwd: '/srv', readFile: () => text });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** `line path: message (hint)`, as short as it can be compared. */
function linesOf(text: string, env: Env = {}) {
  return problemsOf(text, env).map(({ line, path, message, hint }) =>
    [line === undefined ? '' : `${line} `, `${path}: ${message}`, hint === undefined ? '' : ` (${hint})`].join(''),
  );
}

const vllm = 'providers: { vllm: { base_url: "http://x/v1", models: { m: } } }';

const provider = (fields: string) => `providers: { x: { base_url: "http://x", ${fields} } }`;
const of = '1 providers.x';
const route = (fields: string) =>
  `routes: { r: { targets: [simulated/echo], ${fields} }, other: { targets: [simulated/lorem] } }`;
const at = '1 routes.r';

describe('one problem', () => {
  test.each([
    // Keys.
    ['server:\n  prot: 1', '2 server.prot: unknown key `prot` (did you mean `port`?)'],
    ['zebra: 1', '1 zebra: unknown key `zebra`'],
    ['budget: []', '1 budget: unknown key `budget` (did you mean `budgets`?)'],
    ['auth:\n  allow_anonymous: false', '2 auth.allow_anonymous: `allow_anonymous` is not supported yet'],
    [
      'providers:\n  openai: { api_key: k,\n    base_ur: x }',
      '3 providers.openai.base_ur: unknown key `base_ur` (did you mean `base_url`?)',
    ],
    ['providers: { simulated: { api_key: k } }', '1 providers.simulated.api_key: unknown key `api_key`'],
    ['logging: { payloads: full }', '1 logging.payloads: `full` is not supported yet'],
    // Forms.
    ['[]', ': must be a map of keys and values'],
    ['server: 8080', '1 server: must be a map of keys and values'],
    ['auth: { keys: { a: b } }', '1 auth.keys: must be a list'],
    ['auth: { keys: [abc] }', '1 auth.keys[0]: must be a map of keys and values'],
    ['providers: []', '1 providers: must be a map from names to values'],
    // Server.
    ['server: { port: 65536 }', '1 server.port: must be an integer from 0 to 65535'],
    ['server: { port: -1 }', '1 server.port: must be an integer from 0 to 65535'],
    ['server: { port: 80.5 }', '1 server.port: must be an integer from 0 to 65535'],
    ['server: { port: http }', '1 server.port: must be an integer from 0 to 65535'],
    ['server: { host: 1 }', '1 server.host: must be text (write it in quotes)'],
    ['server: { body_limit: 32MB }', '1 server.body_limit: "32MB" is not a size, such as 512KiB or 32MiB'],
    ['server: { body_limit: 32 }', '1 server.body_limit: has no unit (`32B` or `32MiB`?)'],
    ['server: { body_limit: 2GiB }', '1 server.body_limit: must be from 1KiB to 1GiB'],
    ['server: { request_timeout: 30 }', '1 server.request_timeout: has no unit (`30s` or `30ms`?)'],
    ['server: { request_timeout: 8d }', '1 server.request_timeout: must be from 1s to 7d'],
    ['server: { keep_alive: soon }', '1 server.keep_alive: "soon" is not a duration, such as 250ms, 30s, 5m, 2h or 7d'],
    // URLs; none is repeated, for its password.
    ['nats: { url: "a:4222" }', '1 nats.url: must be a URL that begins with nats:// or tls://'],
    ['nats: { url: "nats://a, nats://b" }', '1 nats.url: must be a URL that begins with nats:// or tls://'],
    [
      'database: { url: "mysql://u:p@db/x" }',
      '1 database.url: must be a URL that begins with postgres:// or postgresql://',
    ],
    ['redis: { url: "http://cache" }', '1 redis.url: must be a URL that begins with redis:// or rediss://'],
    // Keys of clients.
    ['auth: { admin_key: "a b" }', '1 auth.admin_key: must be printable ASCII without spaces'],
    ['auth: { keys: [{ name: a }] }', '1 auth.keys[0].key: is required'],
    ['auth: { keys: [{ name: a, key: "" }] }', '1 auth.keys[0].key: is required'],
    ['auth: { keys: [{ name: a, key: 12 }] }', '1 auth.keys[0].key: must be text (write it in quotes)'],
    [
      'auth:\n  keys:\n    - { name: a, key: k }\n    - { name: a, key: l }',
      '4 auth.keys[1].name: is the name of auth.keys[0] too',
    ],
    [
      'auth:\n  keys:\n    - { name: a, key: k }\n    - { name: b, key: k }',
      '4 auth.keys[1].key: is the key of auth.keys[0] too',
    ],
    [
      'auth: { keys: [{ name: a, key: k, overrides: [stratgy] }] }',
      '1 auth.keys[0].overrides[0]: must be one of strategy, regions, timeout, on_limit, on_stream_break, on_content_filter, hedge, max_attempts, max_cost, fallbacks, lane (did you mean `strategy`?)',
    ],
    ['auth: { keys: [{ name: a, key: k, overrides: some }] }', '1 auth.keys[0].overrides: must be one of all, none'],
    // Providers.
    [
      'providers: { opnai: { api_key: k } }',
      '1 providers.opnai.base_url: is required, because `opnai` is not a provider that Sluice knows (did you mean `openai`?)',
    ],
    [
      'providers: { openai: {} }',
      '1 providers.openai.api_key: is required, because the environment has no OPENAI_API_KEY',
    ],
    [
      'providers: { anthropic: { api_key: k } }',
      '1 providers.anthropic: the provider `anthropic` is not supported yet',
    ],
    [
      'providers: { x: { dialect: gemini, base_url: "http://x" } }',
      '1 providers.x.dialect: `gemini` is not supported yet',
    ],
    [
      'providers: { x: { dialect: opneai, base_url: "http://x" } }',
      '1 providers.x.dialect: must be openai (did you mean `openai`?)',
    ],
    [
      'providers: { x: { base_url: "ftp://x" } }',
      '1 providers.x.base_url: must be a URL that begins with http:// or https://',
    ],
    [
      'providers: { x: { base_url: "http://u:p@x" } }',
      '1 providers.x.base_url: must not contain credentials (use `api_key`)',
    ],
    [
      'providers: { x: { base_url: "http://x?k=1" } }',
      '1 providers.x.base_url: must not contain `?` or `#`: paths are appended to it',
    ],
    [
      'providers: { "a/b": { base_url: "http://x" } }',
      '1 providers["a/b"]: a provider name consists of letters, digits, - and _',
    ],
    [
      'providers: { x: { base_url: "http://x", concurrency: 0 } }',
      '1 providers.x.concurrency: must be an integer from 1 to 100000',
    ],
    [provider('concurrency: { min: 8, max: 8 }'), `${of}.concurrency.min: must be less than \`max\``],
    [provider('concurrency: { min: 8 }'), `${of}.concurrency.max: is required`],
    [provider('region: "e u"'), `${of}.region: a region must not contain \`,\` or spaces`],
    [
      provider('limits: { requests_per_minute: 0 }'),
      `${of}.limits.requests_per_minute: must be an integer from 1 to 60000000`,
    ],
    [
      provider('limits: { request_per_minute: 1 }'),
      `${of}.limits.request_per_minute: unknown key \`request_per_minute\` (did you mean \`requests_per_minute\`?)`,
    ],
    [provider('breaker: none'), `${of}.breaker: must be \`off\`, or a map of keys and values`],
    [
      provider('breaker: { failure_ratio: 2 }'),
      `${of}.breaker.failure_ratio: must be a share from 0 to 1, or from 0% to 100% (\`2%\`?)`,
    ],
    [provider('breaker: { window: 2h }'), `${of}.breaker.window: must be from 1s to 1h`],
    [provider('breaker: { slow_ratio: 0.5 }'), `${of}.breaker.slow_ratio: has no effect without \`slow_call\``],
    [provider('health_check: { every: 500ms }'), `${of}.health_check.every: must be from 1s to 1h`],
    [
      provider('health_check: { every: 2s, timeout: 3s }'),
      `${of}.health_check.timeout: must not be longer than \`every\``,
    ],
    [
      provider('health_check: { path: models }'),
      `${of}.health_check.path: must begin with \`/\`, and not contain spaces or \`#\``,
    ],
    [
      provider('prefill: prefx'),
      `${of}.prefill: must be one of none, assistant, prefix, continue_final_message (did you mean \`prefix\`?)`,
    ],
    [
      'providers: { simulated: { health_check: { every: 5s } } }',
      '1 providers.simulated.health_check: unknown key `health_check`',
    ],
    [
      provider('models: { m: { concurrency: { max: 3 } } }'),
      `${of}.models.m.concurrency: must be an integer from 1 to 100000`,
    ],
    [provider('models: { m: { context: 128k } }'), `${of}.models.m.context: must be an integer from 1 to 1000000000`],
    [
      provider('models: { m: { capabilities: [tool] } }'),
      `${of}.models.m.capabilities[0]: must be one of tools, parallel-tools, vision, pdf, audio, schema, reasoning, caching (did you mean \`tools\`?)`,
    ],
    [
      'providers: { x: { base_url: "http://x", timeouts: { total: 0s } } }',
      '1 providers.x.timeouts.total: must be from 1ms to 7d',
    ],
    [
      'providers: { x: { base_url: "http://x", timeouts: { conect: 1s } } }',
      '1 providers.x.timeouts.conect: unknown key `conect` (did you mean `connect`?)',
    ],
    [
      'providers: { simulated: { models: { a: { upstream: ehco } } } }',
      '1 providers.simulated.models.a.upstream: must be one of echo, lorem',
    ],
    [
      'providers: { x: { base_url: "http://x", models: { "a,b": } } }',
      '1 providers.x.models["a,b"]: a model name must not contain `,` or spaces',
    ],
    [
      'providers: { x: { base_url: "http://x", models: { a: { price: { input: 0.1, output: "1 USD" } } } } }',
      '1 providers.x.models.a.price.input: has no currency (write "0.1 USD", per million tokens)',
    ],
    [
      'providers: { x: { base_url: "http://x", models: { a: { price: { input: "1 EUR", output: "1 USD" } } } } }',
      '1 providers.x.models.a.price.input: "1 EUR" is not an amount of money, such as "12.50 USD"',
    ],
    [
      'providers: { x: { base_url: "http://x", models: { a: { price: { input: "20000 USD", output: "1 USD" } } } } }',
      '1 providers.x.models.a.price.input: must be at most "10000 USD" per million tokens',
    ],
    [
      'providers: { x: { base_url: "http://x", models: { a: { price: { input: "1 USD" } } } } }',
      '1 providers.x.models.a.price.output: is required',
    ],
    // Routes.
    [
      'routes: { "a/b": { targets: [simulated/echo] } }',
      '1 routes["a/b"]: a route name must not contain `/`, `,` or spaces',
    ],
    [
      'routes: { "a,b": { targets: [simulated/echo] } }',
      '1 routes["a,b"]: a route name must not contain `/`, `,` or spaces',
    ],
    ['routes: { r: }', '1 routes.r.targets: is required'],
    ['routes: { r: { targets: [] } }', '1 routes.r.targets: must name at least one target'],
    ['routes: { r: { targets: simulated/echo } }', '1 routes.r.targets: must be a list'],
    ['routes: { r: { targets: [gpt-4o] } }', '1 routes.r.targets[0]: "gpt-4o" is not of the form provider/model'],
    ['routes: { r: { targets: [{ weight: 2 }], strategy: weighted } }', '1 routes.r.targets[0].model: is required'],
    [
      'routes: { r: { targets: [{ model: simulated/echo, weight: 0 }], strategy: weighted } }',
      '1 routes.r.targets[0].weight: must be an integer from 1 to 1000000',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, weight: 2 }], strategy: ordered } }',
      '1 routes.r.targets[0].weight: has no effect with `strategy: ordered`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, weight: 2 }], strategy: cheapest } }',
      '1 routes.r.targets[0].weight: has no effect with `strategy: cheapest`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, tier: simple, weight: 2 }], strategy: complexity } }',
      '1 routes.r.targets[0].weight: has no effect with `strategy: complexity`',
    ],
    [
      'routers: { x: { strategy: ordered, routes: { r: { targets: [{ model: simulated/echo, weight: 2 }] } } } }',
      '1 routers.x.routes.r.targets[0].weight: has no effect with `strategy: ordered`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, tier: simple }] } }',
      '1 routes.r.targets[0].tier: has no effect without `strategy: complexity`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, tier: hard }], strategy: complexity } }',
      '1 routes.r.targets[0].tier: must be one of simple, medium, complex',
    ],
    [
      'routes: { r: { targets: [simulated/echo], strategy: complexity } }',
      '1 routes.r.targets: `strategy: complexity` needs a `tier` at one target or more',
    ],
    [
      'routes: { r: { targets: [simulated/echo], complexity: { medium: 0.1 } } }',
      '1 routes.r.complexity: has no effect without `strategy: complexity`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, tier: simple }], strategy: complexity, complexity: { medium: 0.8 } } }',
      '1 routes.r.complexity.medium: must be less than `complex`',
    ],
    [
      'routes: { r: { targets: [{ model: simulated/echo, tier: simple }], strategy: complexity, complexity: { teams: { a: big } } } }',
      '1 routes.r.complexity.teams.a: must be one of simple, medium, complex',
    ],
    [
      'routes: { r: { targets: [simulated/echo], fallbacks: [{ model: simulated/lorem, weight: 1 }] } }',
      '1 routes.r.fallbacks[0].weight: unknown key `weight`',
    ],
    [
      'routes: { r: { targets: [simulated/echo], strategy: wighted } }',
      '1 routes.r.strategy: must be one of peak_ewma, weighted, ordered, cheapest, complexity, sticky (did you mean `weighted`?)',
    ],
    // Variants.
    [
      'routes: { r: { variants: { a: { targets: [simulated/echo] } } } }',
      '1 routes.r.variants: must name at least two',
    ],
    [
      'routes: { r: { targets: [simulated/echo], variants: { a: { targets: [simulated/echo] } } } }',
      '1 routes.r.variants: stands in place of `targets`, not beside it',
    ],
    [
      'routes: { r: { variants: { a: { targets: [simulated/echo] }, "b=1": { targets: [simulated/echo] } } } }',
      '1 routes.r.variants["b=1"]: a variant name must not contain `,`, `=` or spaces',
    ],
    [
      'routes: { r: { variants: { a: { targets: [simulated/echo] }, b: } } }',
      '1 routes.r.variants.b.targets: is required',
    ],
    [
      'routes: { r: { variants: { a: { targets: [simulated/echo] }, b: { targets: [simulated/ehco] } } } }',
      '1 routes.r.variants.b.targets[0]: the provider `simulated` lists no model `ehco` (did you mean `echo`?)',
    ],
    // Policies.
    [
      route('on_limit: quue'),
      `${at}.on_limit: must be reject, queue or a map with \`queue\` or \`downgrade\` (did you mean \`queue\`?)`,
    ],
    [route('on_limit: downgrade'), `${at}.on_limit: must name a route (write \`{ downgrade: route }\`)`],
    [route('on_limit: {}'), `${at}.on_limit: must say \`queue\` or \`downgrade\``],
    [route('on_limit: { queue: 20 }'), `${at}.on_limit.queue: has no unit (\`20s\` or \`20ms\`?)`],
    [route('on_limit: { then: reject }'), `${at}.on_limit.then: has no effect without \`queue\``],
    [
      route('on_limit: { queue: 1s, downgrade: other }'),
      `${at}.on_limit.downgrade: does not go with \`queue\` (write it below \`then\`)`,
    ],
    [route('on_limit: { queue: 1s, then: queue }'), `${at}.on_limit.then: must be reject or a map with \`downgrade\``],
    [
      route('on_limit: { downgrade: othr }'),
      `${at}.on_limit.downgrade: there is no route \`othr\` (did you mean \`other\`?)`,
    ],
    [
      route('on_limit: { queue: 1s, then: { downgrade: simulated/ehco } }'),
      `${at}.on_limit.then.downgrade: the provider \`simulated\` lists no model \`ehco\` (did you mean \`echo\`?)`,
    ],
    [route('on_limit: { downgrade: r }'), `${at}.on_limit.downgrade: must name another route than its own`],
    [route('on_stream_break: stop'), `${at}.on_stream_break: must be one of error, continue`],
    [route('on_content_filter: retry'), `${at}.on_content_filter: must be one of error, fallback`],
    [route('hedge: on'), `${at}.hedge: must be \`off\`, or a map of keys and values`],
    [route('hedge: { after: p99 }'), `${at}.hedge.after: must be p95, or a duration such as 800ms`],
    [route('hedge: { after: 800 }'), `${at}.hedge.after: has no unit (\`800s\` or \`800ms\`?)`],
    [route('hedge: { share: 5 }'), `${at}.hedge.share: must be a share from 0 to 1, or from 0% to 100% (\`5%\`?)`],
    [route('hedge: { share: 101% }'), `${at}.hedge.share: must be a share from 0 to 1, or from 0% to 100%`],
    [route('max_attempts: 9'), `${at}.max_attempts: must be an integer from 1 to 8`],
    [route('max_attempts: 0'), `${at}.max_attempts: must be an integer from 1 to 8`],
    [route('max_cost: 0.05'), `${at}.max_cost: has no currency (write "0.05 USD")`],
    [route('max_cost: "0 USD"'), `${at}.max_cost: must be above "0 USD" and at most "1000000 USD"`],
    [route('lane: batch'), `${at}.lane: unknown key \`lane\``],
    [route('cache: {}'), `${at}.cache: \`cache\` is not supported yet`],
    // Regions.
    [route('regions: []'), `${at}.regions: must name at least one region`],
    [route('regions: eu'), `${at}.regions: must be a list`],
    [
      route('regions: [eu]'),
      `${at}.regions[0]: none of its providers is in the region \`eu\`: no region is given for \`simulated\``,
    ],
    [
      `providers: { a: { base_url: "http://a", region: eu }, b: { base_url: "http://b", region: us }, c: { base_url: "http://c" } }
routes: { r: { targets: [a/m, b/m, c/m], regions: [eu, es] } }`,
      '2 routes.r.regions[1]: none of its providers is in the region `es`: known are eu, us; no region is given for `c` (did you mean `eu`?)',
    ],
    [
      'providers: { a: { base_url: "http://a", region: eu } }\nrouters: { x: { regions: [us] } }',
      '2 routers.x.regions[0]: none of its providers is in the region `us`: known are eu',
    ],
    ['routers: { x: { regions: [us] } }', '1 routers.x.regions[0]: none of its providers is in the region `us`'],
    // Routers.
    ['routers: { "a b": }', '1 routers["a b"]: a router name consists of letters, digits, - and _'],
    ['routers: { x: { targets: [simulated/echo] } }', '1 routers.x.targets: unknown key `targets`'],
    ['routers: { x: { routes: { r: } } }', '1 routers.x.routes.r.targets: is required'],
    [
      'routers: { x: { fallbacks: [simulated/ehco] } }',
      '1 routers.x.fallbacks[0]: the provider `simulated` lists no model `ehco` (did you mean `echo`?)',
    ],
    [
      'routes: { whole: { targets: [simulated/echo] } }\nrouters: { x: { on_limit: { downgrade: whoel } } }',
      '2 routers.x.on_limit.downgrade: there is no route `whoel` (did you mean `whole`?)',
    ],
    [
      'routers: { x: { routes: { own: { targets: [simulated/echo] } } } }\nroutes: { r: { targets: [simulated/echo], on_limit: { downgrade: own } } }',
      '2 routes.r.on_limit.downgrade: there is no route `own`',
    ],
    // Circles.
    [
      `routes:
  c: { targets: [simulated/echo], on_limit: { downgrade: a } }
  a: { targets: [simulated/echo], on_limit: { downgrade: b } }
  b: { targets: [simulated/echo], on_limit: { queue: 1s, then: { downgrade: a } } }`,
      '3 routes.a.on_limit.downgrade: goes in a circle: a → b → a',
    ],
    [
      `routes:
  a: { targets: [simulated/echo], on_limit: { downgrade: b } }
  b: { targets: [simulated/echo] }
routers: { x: { routes: { b: { targets: [simulated/echo], on_limit: { downgrade: a } } } } }`,
      '4 routers.x.routes.b.on_limit.downgrade: goes in a circle: b → a → b',
    ],
    // Shares of tenants.
    ['queue: { weights: { a: 0 } }', '1 queue.weights.a: must be an integer from 1 to 1000'],
    ['queue: { weight: { a: 1 } }', '1 queue.weight: unknown key `weight` (did you mean `weights`?)'],
    // References.
    [
      'routes: { r: { targets: [openai/gpt-4o] } }',
      '1 routes.r.targets[0]: there is no provider `openai` (set OPENAI_API_KEY, or list it under `providers`)',
    ],
    [
      'routes: { r: { targets: [simulated/ehco] } }',
      '1 routes.r.targets[0]: the provider `simulated` lists no model `ehco` (did you mean `echo`?)',
    ],
    [
      `${vllm}\nroutes:\n  r:\n    targets:\n      - vllm/m\n      - vlm/m`,
      '6 routes.r.targets[1]: there is no provider `vlm` (did you mean `vllm`?)',
    ],
    [
      `${vllm}\nroutes: { r: { targets: [vllm/m], fallbacks: [{ model: vllm/n }] } }`,
      '2 routes.r.fallbacks[0].model: the provider `vllm` lists no model `n` (did you mean `m`?)',
    ],
    [
      `${vllm}\nroutes: { r: { targets: [simulated/echo] } }`,
      '2 routes.r.targets[0]: there is no provider `simulated` (list `simulated: {}` under `providers`)',
    ],
    // Interpolation.
    [
      'providers:\n  openai:\n    api_key: "${OPENAI_KEY}"',
      '3 providers.openai.api_key: the environment variable OPENAI_KEY is not set',
    ],
    [
      'auth: { keys: [{ name: ci, key: "${CI_KEY}" }] }',
      '1 auth.keys[0].key: the environment variable CI_KEY is not set',
    ],
    ['server: { port: "${PORT_A" }', '1 server.port: "${PORT_A…" has no closing brace'],
    // Syntax.
    [
      'a: 1\nb: [1',
      '2 : not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
  ])('%j', (text, problem) => {
    expect(linesOf(text)).toEqual([problem]);
  });
});

test('all problems are reported together, in the order of the file', () => {
  const text = `server:
  port: 99999
  body_limit: lots
naats: {}
providers:
  openai: { api_key: "\${NOPE}" }
routes:
  r: { targets: [gpt, nope/x], timeout: 60 }
`;
  expect(linesOf(text, { REDIS_URL: 'cache' })).toEqual([
    'REDIS_URL: must be a URL that begins with redis:// or rediss://',
    '2 server.port: must be an integer from 0 to 65535',
    '3 server.body_limit: "lots" is not a size, such as 512KiB or 32MiB',
    '4 naats: unknown key `naats` (did you mean `nats`?)',
    '6 providers.openai.api_key: the environment variable NOPE is not set',
    '8 routes.r.targets[0]: "gpt" is not of the form provider/model',
    '8 routes.r.timeout: has no unit (`60s` or `60ms`?)',
    '8 routes.r.targets[1]: there is no provider `nope`',
  ]);
});

test('nothing is said of what is inside of a key that is unknown or not supported', () => {
  expect(linesOf('telemetry: { otlp_endpoint: "${NOPE}" }\nbudgts: "${NOPE}"')).toEqual([
    '1 telemetry: `telemetry` is not supported yet',
    '2 budgts: unknown key `budgts` (did you mean `budgets`?)',
  ]);
});

test('no problem repeats a secret', () => {
  const secret = 'hunter2';
  const text = `auth: { admin_key: "${secret} x", keys: [{ name: a, key: "${secret}" }, { name: b, key: "${secret}" }] }
database: { url: "mysql://u:${secret}@db" }
providers: { openai: { api_key: "${secret}\\n", base_url: "http://u:${secret}@x" }, groq: { api_key: "\${K:${secret}}" } }`;
  const problems = problemsOf(text);
  expect(problems).toHaveLength(6);
  expect(JSON.stringify(problems)).not.toContain(secret);
});

describe('the example of everything', () => {
  const text = readFileSync(new URL('fixtures/whole-example.yaml', import.meta.url), 'utf8');
  const env = { OPENAI_API_KEY: 'o', AZURE_KEY: 'a' };

  test('each key that is not supported yet is reported at its line, and no other', () => {
    const said = problemsOf(text, env);
    expect(said.filter(({ message }) => !message.endsWith('is not supported yet'))).toEqual([]);
    expect(said.map(({ path, line }) => `${line} ${path}`)).toEqual([
      '22 auth.allow_anonymous',
      '28 providers.anthropic.api_keys',
      '28 providers.anthropic',
      '31 providers.azure-eu.dialect',
      '55 routes.best-cheap-chat.cache',
      '58 routes.best-cheap-chat.guardrails',
      '63 guardrails',
      '77 telemetry',
    ]);
  });
});
