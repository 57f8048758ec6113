import { expect, test } from 'vitest';
import type { Attribution } from '../../../shared/scope.ts';
import { accountOf } from './admission-terms.ts';

const NOBODY: Attribution = {
  ...{ organisation: null, team: null, user: null, keyId: 'k' },
  ...{ feature: null, session: null, tags: {} },
};
const ADMISSION = { modelScope: 'm', isBudgeted: true };
const principal = { keyId: 'k', keyName: 'k', team: null, organisation: 'acme', user: 'ada' };

test('an account says what the key does not', () => {
  const of = (attribution: Partial<Attribution>) =>
    accountOf({ attribution: { ...NOBODY, ...attribution }, model: 'm', principal }, ADMISSION, 7);
  expect(of({ organisation: 'acme', user: 'ada' })).toEqual({ admittedEpochMs: 7 });
  expect(of({ organisation: 'acme', user: 'bob', feature: 'search', tags: { a: '1' } })).toEqual({
    ...{ admittedEpochMs: 7, user: 'bob', feature: 'search', tags: { a: '1' } },
  });
});

test('where the key says it all, and no budget counts by the moment, there is none', () => {
  const attribution = { ...NOBODY, organisation: 'acme', user: 'ada' };
  expect(accountOf({ attribution, model: 'm', principal }, { ...ADMISSION, isBudgeted: false }, 7)).toBeUndefined();
});
