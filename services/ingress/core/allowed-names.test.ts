import { describe, expect, test } from 'vitest';
import { Catalog } from '../../../shared/catalog.ts';
import type { PolicyOverrides } from '../../../shared/config/types.ts';
import { loadPriceTable } from '../../../shared/pricing.ts';
import { testConfig } from '../../../test/support/gateway.ts';
import type { NamesPolicy } from './allowed-names.ts';
import { isAllowedName, refuseForbiddenNames, withinRegions } from './allowed-names.ts';

const catalog = new Catalog(
  testConfig(`
providers:
  one: { base_url: "http://one/v1", models: { small: {}, big: {}, shared: {} } }
  two: { base_url: "http://two/v1", models: { shared: {}, org/other: {} } }
  open: { base_url: "http://open/v1" }
routes: { chat: { targets: [one/small] }, work: { targets: [two/shared] } }
routers: { door: { routes: { own: { targets: [one/big] } } } }`),
  loadPriceTable(),
);

describe('a key may ask for', () => {
  test.each<{ policy: NamesPolicy; name: string; may: boolean; via?: string }>([
    { policy: {}, name: 'anything', may: true },
    { policy: { regions: ['eu'] }, name: 'chat', may: true },
    { policy: { routes: ['chat'] }, name: 'chat', may: true },
    { policy: { routes: ['chat'] }, name: 'work', may: false },
    { policy: { routes: ['chat'] }, name: 'one/small', may: false },
    { policy: { models: ['chat'] }, name: 'chat', may: true },
    { policy: { models: ['one/*'] }, name: 'chat', may: false },
    { policy: { models: ['one/small'] }, name: 'one/small', may: true },
    { policy: { models: ['one/small'] }, name: 'small', may: true },
    { policy: { models: ['one/small'] }, name: 'one/big', may: false },
    { policy: { models: ['one/*'] }, name: 'one/big', may: true },
    { policy: { models: ['one/*'] }, name: 'big/one', may: true },
    { policy: { models: ['one/*'] }, name: 'shared', may: false },
    { policy: { models: ['one/*', 'two/*'] }, name: 'shared', may: true },
    { policy: { models: ['shared'] }, name: 'shared', may: true },
    { policy: { models: ['shared'] }, name: 'two/shared', may: false },
    { policy: { models: ['two/*'] }, name: 'two/org/other', may: true },
    { policy: { models: ['open/*'] }, name: 'open/whatever', may: true },
    { policy: { models: ['one/*'] }, name: 'open/one/small', may: false },
    { policy: { models: ['one/*'] }, name: 'one/small,one/big', may: true },
    { policy: { models: ['one/*', 'shared'] }, name: 'one/small, shared', may: true },
    { policy: { models: ['one/*'] }, name: 'one/small,two/shared', may: false },
    { policy: { models: ['one/*'] }, name: 'nothing', may: false },
    { policy: { models: [] }, name: 'one/small', may: false },
    { policy: { routes: [], models: ['one/*'] }, name: 'one/small', may: true },
    { policy: { routes: ['own'] }, name: 'own', may: false },
    { policy: { routes: ['own'] }, name: 'own', may: true, via: 'door' },
  ])('$policy: $name $via: $may', ({ policy, name, may, via }) => {
    expect(isAllowedName(policy, name, catalog, via)).toBe(may);
  });
});

describe('a request is refused', () => {
  const policy: NamesPolicy = { models: ['one/*'], routes: ['chat'] };
  test.each<{ model?: string; overrides?: PolicyOverrides; param: string | undefined }>([
    { param: undefined },
    { model: 'work', param: 'model' },
    { overrides: { fallbacks: ['one/big', 'two/shared'] }, param: 'sluice.fallbacks' },
    { overrides: { onLimit: { kind: 'downgrade', to: 'work' } }, param: 'sluice.on_limit' },
    {
      overrides: { onLimit: { kind: 'queue', forMs: 1, then: { kind: 'downgrade', to: 'two/shared' } } },
      param: 'sluice.on_limit',
    },
    { overrides: { onLimit: { kind: 'downgrade', to: 'chat' }, fallbacks: ['one/big'] }, param: undefined },
  ])('for its $param: $model $overrides', ({ model = 'chat', overrides, param }) => {
    const check = (): void => refuseForbiddenNames(policy, { model, overrides }, catalog, undefined);
    if (param === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'model_not_allowed', param }) as Error);
  });
});

describe('the regions of a request', () => {
  test.each<{ allowed?: string[]; said?: PolicyOverrides; are: PolicyOverrides | undefined }>([
    { are: undefined },
    { said: { regions: ['us'] }, are: { regions: ['us'] } },
    { allowed: ['eu', 'us'], are: { regions: ['eu', 'us'] } },
    { allowed: ['eu', 'us'], said: { maxAttempts: 1 }, are: { regions: ['eu', 'us'], maxAttempts: 1 } },
    { allowed: ['eu', 'us'], said: { regions: ['us', 'ap'] }, are: { regions: ['us'] } },
    { allowed: [], are: { regions: [] } },
  ])('$allowed and $said are $are', ({ allowed, said, are }) => {
    expect(withinRegions(allowed === undefined ? {} : { regions: allowed }, said)).toEqual(are);
  });

  test('are refused when its key may use none of them', () => {
    expect(() => withinRegions({ regions: ['eu'] }, { regions: ['us'] })).toThrow(
      expect.objectContaining({ code: 'model_not_allowed', param: 'sluice.regions' }) as Error,
    );
  });
});
