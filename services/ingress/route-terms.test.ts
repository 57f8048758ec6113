import { expect, test } from 'vitest';
import { Catalog } from '../../shared/catalog.ts';
import type { PolicyOverrides } from '../../shared/config.ts';
import { loadPriceTable } from '../../shared/pricing.ts';
import { testConfig } from '../../test/support/gateway.ts';
import { RouteBook } from './route-terms.ts';

const book = new RouteBook(
  new Catalog(
    testConfig(`
providers: { p: { base_url: "http://127.0.0.1:1/v1", models: { m: {} } } }
routes:
  plain: { targets: [p/m] }
  hedged: { targets: [p/m], hedge: { after: 200ms, share: "10%" }, max_attempts: 2 }
`),
    loadPriceTable(),
  ),
);
const terms = (model: string, overrides?: PolicyOverrides) => book.termsOf({ via: undefined, overrides }, model);

test('requests of one name share their budgets; those of others have their own', () => {
  expect(terms('plain')).toBe(terms('plain'));
  expect(terms('plain').retries).not.toBe(terms('hedged').retries);
  expect(terms('plain').hedges).toBeUndefined();
  expect(terms('hedged')).toMatchObject({ label: 'hedged', policy: { maxAttempts: 2 } });
});

test('what a request says itself changes its policy, not its budgets', () => {
  const own = terms('hedged', { maxAttempts: 1 });
  expect(own.policy.maxAttempts).toBe(1);
  expect(own.retries).toBe(terms('hedged').retries);
  expect(own.hedges).toBe(terms('hedged').hedges);
  expect(terms('hedged', { hedge: { afterMs: 1, share: 1 } }).hedges).not.toBe(terms('hedged').hedges);
});

test('names that are no route share a label, and unknown ones all', () => {
  expect(terms('p/m').label).toBe('none');
  expect(terms('nobody knows')).toBe(terms('nor this'));
  expect(terms('plain', { fallbacks: ['nobody/knows'] }).policy).toBe(terms('plain').policy);
});
