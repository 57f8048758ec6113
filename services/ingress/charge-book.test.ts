import { expect, test } from 'vitest';
import type { Resolution } from '../../shared/catalog.ts';
import type { Attribution } from '../../shared/scope.ts';
import { ChargeBook } from './charge-book.ts';

const principal = { keyId: 'k', keyName: 'k', team: 't' };
const ADA: Attribution = {
  ...{ organisation: null, team: 't', user: 'ada', keyId: 'k' },
  ...{ feature: null, session: null, tags: {} },
};
const asked = (attribution: Partial<Attribution> = {}, model = 'm', servedAs?: string) => {
  return { principal, attribution: { ...ADA, ...attribution }, model, servedAs };
};

test('requests of a caller that fall in the same scopes are told by one object', () => {
  const book = new ChargeBook();
  const first = book.chargedOf(asked(), undefined);
  expect(first.scopes).toEqual(['total', 'team:t', 'user:ada', 'key:k', 'model:m']);
  expect(book.chargedOf(asked({ session: 's' }), undefined)).toBe(first);
  // Others of the caller's come between them.
  book.chargedOf(asked({}, 'other'), undefined);
  expect(book.chargedOf(asked(), undefined)).toBe(first);
});

test.each<{ what: string; other: ReturnType<typeof asked>; scope: string }>([
  { what: 'user', other: asked({ user: 'bob' }), scope: 'user:bob' },
  { what: 'feature', other: asked({ feature: 'f' }), scope: 'feature:f' },
  { what: 'organisation', other: asked({ organisation: 'o' }), scope: 'organisation:o' },
  { what: 'tag', other: asked({ tags: { a: 'b' } }), scope: 'tag:a=b' },
  { what: 'name that serves it', other: asked({}, 'm', 'cheap'), scope: 'model:cheap' },
])('another $what is charged to itself', ({ other, scope }) => {
  const book = new ChargeBook();
  book.chargedOf(asked(), undefined);
  expect(book.chargedOf(other, undefined).scopes).toContain(scope);
  expect(book.chargedOf(asked(), undefined).scopes).not.toContain(scope);
});

test('a name that resolves otherwise is charged to what it is now', () => {
  const book = new ChargeBook();
  book.chargedOf(asked(), undefined);
  const resolution = { route: 'r', variants: [], targets: [], fallbacks: [{ id: 'p/m' }] } as unknown as Resolution;
  expect(book.chargedOf(asked(), resolution)).toMatchObject({ modelScope: 'p/m', route: 'r' });
});
