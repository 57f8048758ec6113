import { describe, expect, test } from 'vitest';
import { testConfig } from '../test/support/gateway.ts';
import { Catalog } from './catalog.ts';
import { DEFAULT_POLICY, NO_HEDGE, parseOverrides } from './config.ts';
import { GatewayError } from './errors.ts';
import { loadPriceTable } from './pricing.ts';

const catalog = new Catalog(
  testConfig(`
providers:
  one: { base_url: "http://127.0.0.1:1/v1", models: { m: { upstream: m-of-one, price: { input: "1 USD", output: "2 USD" } }, org/deep: {} } }
  two: { base_url: "http://127.0.0.1:2/v1", models: { m: {}, gpt-4o-mini: {} } }
  open: { base_url: "http://127.0.0.1:3/v1" }
  openai: { api_key: sk-x }
routes:
  cheap: { strategy: weighted, targets: [{ model: one/m, weight: 3 }, two/m], fallbacks: [open/anything], timeout: 5s }
  gpt-4o: { targets: [two/m] }
`),
  loadPriceTable(),
);

const targets = (name: string): string[] | undefined =>
  catalog.resolve(name)?.targets.map(({ deployment }) => deployment.id);

describe('a name stands for', () => {
  test.each([
    { name: 'cheap', ids: ['one/m', 'two/m'], why: 'a route’s targets' },
    { name: 'gpt-4o', ids: ['two/m'], why: 'a route, also where a model has the same name' },
    { name: 'one/m', ids: ['one/m'], why: 'one deployment' },
    { name: 'm', ids: ['one/m', 'two/m'], why: 'everybody who lists it, in the order of the configuration' },
    { name: 'one/org/deep', ids: ['one/org/deep'], why: 'a model with a slash in it' },
    { name: 'org/deep', ids: ['one/org/deep'], why: 'the same without its provider' },
    { name: 'open/whatever/it/is', ids: ['open/whatever/it/is'], why: 'whatever an open provider has' },
    { name: 'gpt-4o-mini', ids: ['two/gpt-4o-mini', 'openai/gpt-4o-mini'], why: 'a model of the price table too' },
    { name: 'openai/not-in-the-table', ids: ['openai/not-in-the-table'], why: 'a model newer than the price table' },
    { name: 'm/two', ids: ['two/m'], why: 'a model with its provider behind it' },
    { name: 'org/deep/one', ids: ['one/org/deep'], why: 'the same of a model with a slash in it' },
    { name: 'open/one', ids: ['open/one'], why: 'the usual order where both could be meant' },
    { name: 'none/one', ids: undefined, why: 'nothing: that order does not make a model' },
    { name: 'm/nobody', ids: undefined, why: 'nothing: nor a provider' },
    { name: 'two/m,one/m', ids: ['two/m', 'one/m'], why: 'a chain, in its own order' },
    { name: 'm/two, gpt-4o-mini/openai', ids: ['two/m', 'openai/gpt-4o-mini'], why: 'a chain in the other order' },
    { name: 'gpt-4o-mini,m', ids: ['two/gpt-4o-mini', 'openai/gpt-4o-mini', 'one/m', 'two/m'], why: 'bare models' },
    { name: 'open/a,two/m', ids: ['open/a', 'two/m'], why: 'a chain, also where a provider takes any name' },
    { name: 'two/m,m,m/two', ids: ['two/m', 'one/m'], why: 'each deployment once' },
    { name: 'one/m,none', ids: undefined, why: 'nothing: a part of the chain is nothing' },
    { name: 'one/m,', ids: undefined, why: 'nothing: the same' },
    { name: ',', ids: undefined, why: 'nothing' },
    { name: 'one/m,cheap', ids: undefined, why: 'nothing: a route is no link of a chain' },
    { name: Array(16).fill('one/m').join(), ids: ['one/m'], why: 'a chain as long as may be' },
    { name: Array(17).fill('one/m').join(), ids: undefined, why: 'nothing: too long a chain' },
    { name: 'one/none', ids: undefined, why: 'nothing: the provider is known not to have it' },
    { name: 'nobody/m', ids: undefined, why: 'nothing: no such provider' },
    { name: 'one/', ids: undefined, why: 'nothing' },
    { name: '/m', ids: undefined, why: 'nothing' },
    { name: '', ids: undefined, why: 'nothing' },
    { name: 'toString', ids: undefined, why: 'nothing that an object has by nature' },
    { name: '__proto__/m', ids: undefined, why: 'nothing of that kind either' },
  ])('$name: $why', ({ name, ids }) => {
    expect(targets(name)).toEqual(ids);
    // Remembered or not.
    expect(targets(name)).toEqual(ids);
  });

  test('a route has its strategy, weights, fallbacks and deadline', () => {
    const route = catalog.resolve('cheap');
    expect(route).toMatchObject({ route: 'cheap', policy: { strategy: 'weighted', timeoutMs: 5_000 } });
    expect(route?.targets.map(({ weight }) => weight)).toEqual([3, 1]);
    expect(route?.fallbacks.map(({ id }) => id)).toEqual(['open/anything']);
    expect(catalog.resolve('one/m')).toMatchObject({ route: null, policy: DEFAULT_POLICY, fallbacks: [] });
  });
});

describe('a deployment', () => {
  test('has the name and the price of its configuration', () => {
    expect(catalog.deployment('one/m')).toMatchObject({
      ...{ provider: 'one', pool: 'one', model: 'm', upstreamModel: 'm-of-one', price: { input: 1e9, output: 2e9 } },
    });
  });

  test('else the price of the table, and none where nobody knows it', () => {
    expect(catalog.deployment('openai/gpt-4o-mini')?.price).toBeDefined();
    expect(catalog.deployment('one/org/deep')?.price).toBeUndefined();
  });
});

test('the list has each name once, routes first', () => {
  const ids = catalog.models().map(({ id }) => id);
  expect(ids.slice(0, 6)).toEqual(['cheap', 'gpt-4o', 'one/m', 'two/m', 'one/org/deep', 'two/gpt-4o-mini']);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids.slice(0, 50)) expect(catalog.resolve(id), id).toBeDefined();
});

test('clients may make up names without end: what is remembered of them is bounded', () => {
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 50_000; i++) catalog.resolve(`open/${i}-${'x'.repeat(400)}`);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 1024 * 1024);
  expect(targets('cheap')).toHaveLength(2);
});

describe('a named router, and what a request says', () => {
  const routed = new Catalog(
    testConfig(`
providers:
  one:
    base_url: "http://127.0.0.1:1/v1"
    region: eu
    limits: { requests_per_minute: 100, tokens_per_minute: 5000 }
    models: { m: { limits: { requests_per_minute: 7 }, concurrency: 2, capabilities: [tools], context: 9000 }, n: {} }
  two: { base_url: "http://127.0.0.1:2/v1", models: { m: {} } }
routes:
  r:
    targets: [one/m, two/m]
    fallbacks: [one/n]
    regions: [eu]
    timeout: 5s
    hedge: { after: 1s }
  split: { variants: { a: { weight: 9, targets: [one/m] }, b: { targets: [two/m] } } }
routers:
  strict: { strategy: ordered, timeout: 10s, hedge: off, fallbacks: [two/m], routes: { own: { targets: [two/m] } } }
`),
    loadPriceTable(),
  );

  test('its own routes go before the others, and its rules before theirs', () => {
    expect(routed.hasRouter('strict')).toBe(true);
    expect(routed.hasRouter('r')).toBe(false);
    expect(routed.resolve('own')).toBeUndefined();
    expect(routed.resolve('own', { router: 'strict' })?.policy.strategy).toBe('ordered');
    const resolved = routed.resolve('r', { router: 'strict' });
    expect(resolved?.policy).toEqual({ ...DEFAULT_POLICY, strategy: 'ordered', regions: ['eu'], timeoutMs: 5_000 });
    expect(resolved?.fallbacks.map(({ id }) => id)).toEqual(['two/m']);
  });

  test('a request goes before both, but a region that was ruled out stays so', () => {
    const { overrides } = parseOverrides({ strategy: 'cheapest', regions: 'eu,us', max_attempts: 2, fallbacks: [] });
    const resolved = routed.resolve('r', { router: 'strict', overrides });
    expect(resolved?.policy).toMatchObject({ strategy: 'cheapest', regions: ['eu'], maxAttempts: 2 });
    expect(resolved?.fallbacks).toEqual([]);
    expect(routed.resolve('r', { overrides: { regions: ['us'] } })?.policy.regions).toEqual([]);
    expect(routed.resolve('r')?.policy.hedge).toEqual({ afterMs: 1_000, share: 0.05 });
    expect(routed.resolve('r', { overrides: { hedge: NO_HEDGE } })?.policy.hedge).toBeUndefined();
  });

  test('a fallback that nobody has is the request’s mistake', () => {
    expect(() => routed.resolve('r', { overrides: { fallbacks: ['nobody/m'] } })).toThrow(GatewayError);
  });

  test('a route that is split has its variants in place of targets', () => {
    const split = routed.resolve('split');
    expect(split?.targets).toEqual([]);
    expect(
      split?.variants.map(({ name, weight, targets: own }) => [name, weight, own.map(({ deployment: { id } }) => id)]),
    ).toEqual([
      ['a', 9, ['one/m']],
      ['b', 1, ['two/m']],
    ]);
  });

  test('a deployment has what its model says, else what its provider says', () => {
    expect(routed.deployment('one/m')).toMatchObject({
      region: 'eu',
      pool: 'one~m',
      capabilities: new Set(['tools']),
      contextTokens: 9_000,
      limits: { requestsPerMinute: 7, tokensPerMinute: 5_000 },
    });
    expect(routed.deployment('one/n')).toMatchObject({ pool: 'one', limits: { requestsPerMinute: 100 } });
    expect(routed.deployment('two/m')?.capabilities).toBeUndefined();
  });
});
