import { describe, expect, test } from 'vitest';
import { testConfig } from '../test/support/gateway.ts';
import { Catalog } from './catalog.ts';
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
    expect(route).toMatchObject({ route: 'cheap', strategy: 'weighted', timeoutMs: 5_000 });
    expect(route?.targets.map(({ weight }) => weight)).toEqual([3, 1]);
    expect(route?.fallbacks.map(({ id }) => id)).toEqual(['open/anything']);
    expect(catalog.resolve('one/m')).toMatchObject({ route: null, strategy: 'ordered', fallbacks: [] });
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
