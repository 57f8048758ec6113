import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../shared/log.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import { freshDatabase } from '../../test/support/fresh.ts';
import { openDatabase } from './database.ts';
import { createKey, ensureFirstKey, hashOfToken, listKeys, lookupByHash, revokeKey } from './keys.ts';
import { migrate } from './migrate.ts';
import type { Database } from './schema.ts';

const log = createLog('silent', 'test');
let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await freshDatabase();
  await migrate(database.url, log);
  db = openDatabase({ url: database.url, log });
});

afterAll(async () => {
  await db.destroy();
  await database.drop();
});

beforeEach(async () => {
  await db.deleteFrom('api_keys').execute();
});

test('a key is found by the hash of its token, which is nowhere in the database', async () => {
  const { id, token, prefix } = await createKey(db, { name: 'one', team: 'blue' });
  expect(token).toMatch(/^sk-sluice-[\w-]{43}$/);
  expect(token.startsWith(prefix)).toBe(true);
  expect(await lookupByHash(db, hashOfToken(token))).toEqual({ keyId: id, keyName: 'one', team: 'blue' });
  const row = await db.selectFrom('api_keys').selectAll().executeTakeFirstOrThrow();
  expect(JSON.stringify(Object.values(row ?? {}).map(String))).not.toContain(token.slice(prefix.length));
});

test('no key has the hash of something else', async () => {
  await createKey(db, { name: 'one' });
  expect(await lookupByHash(db, hashOfToken('sk-sluice-nobody'))).toBeNull();
});

test("an admin's principal says so", async () => {
  const { token } = await createKey(db, { name: 'boss', isAdmin: true });
  expect(await lookupByHash(db, hashOfToken(token))).toMatchObject({ keyName: 'boss', isAdmin: true });
});

test.each([
  { said: undefined, principal: {}, listed: 'all' },
  { said: 'all' as const, principal: {}, listed: 'all' },
  { said: [] as const, principal: { overrides: [] }, listed: [] },
  {
    said: ['strategy', 'lane', 'strategy'] as const,
    principal: { overrides: ['strategy', 'lane'] },
    listed: ['strategy', 'lane'],
  },
])('what its requests may say of their own routing: $said', async ({ said, principal, listed }) => {
  const key = { name: 'one', ...(said !== undefined && { overrides: said }) };
  const { id, token } = await createKey(db, key);
  expect(await lookupByHash(db, hashOfToken(token))).toEqual({ keyId: id, keyName: 'one', team: null, ...principal });
  expect(await listKeys(db)).toMatchObject([{ overrides: listed }]);
});

test('what is no override is refused', async () => {
  const overrides = ['strategy' as const, 'luck' as 'lane'];
  await expect(createKey(db, { name: 'one', overrides })).rejects.toMatchObject({
    code: 'invalid_request',
    param: 'overrides',
  });
});

test('a revoked key is no key, and its name is free again', async () => {
  const { token, id } = await createKey(db, { name: 'one' });
  const revoked = await revokeKey(db, 'one');
  expect(revoked).toMatchObject({ id, name: 'one', hash: hashOfToken(token) });
  expect(await lookupByHash(db, hashOfToken(token))).toBeNull();
  await createKey(db, { name: 'one' });
  expect((await listKeys(db)).map(({ name, revokedEpochMs }) => [name, revokedEpochMs === null])).toEqual([
    ['one', false],
    ['one', true],
  ]);
});

test.each(['id', 'name', 'prefix', 'token'] as const)('a key is revoked by its %s', async (by) => {
  const key = await createKey(db, { name: 'one' });
  await createKey(db, { name: 'other' });
  expect(await revokeKey(db, by === 'prefix' ? `${key.prefix}…` : key[by])).toMatchObject({ id: key.id });
});

test('a name that is taken is refused, also when two ask at once', async () => {
  const both = await Promise.allSettled([createKey(db, { name: 'one' }), createKey(db, { name: 'one' })]);
  const refused = both.filter((result) => result.status === 'rejected');
  expect(refused).toHaveLength(1);
  expect(refused[0]?.reason).toMatchObject({ code: 'invalid_request', message: 'A key named "one" exists already.' });
});

test.each(['', ' one', 'o\0ne', 'o\nne', 'x'.repeat(257)])('no name: %j', async (name) => {
  await expect(createKey(db, { name })).rejects.toMatchObject({ code: 'invalid_request', param: 'name' });
});

test('what cannot be revoked says why', async () => {
  const { token } = await createKey(db, { name: 'one' });
  await expect(revokeKey(db, 'two')).rejects.toThrow('The key "two" does not exist.');
  await revokeKey(db, 'one');
  await expect(revokeKey(db, 'one')).rejects.toThrow('The key "one" is revoked already.');
  await expect(revokeKey(db, token)).rejects.toThrow(/^The key "sk-sluice-....…" is revoked already.$/);
});

test('a prefix that two keys share revokes neither', async () => {
  const one = await createKey(db, { name: 'one' });
  const two = await createKey(db, { name: 'two' });
  await db.updateTable('api_keys').set({ prefix: one.prefix }).where('id', '=', two.id).execute();
  await expect(revokeKey(db, one.prefix)).rejects.toThrow(/means several keys: one \(key_.*, two \(key_/);
  expect((await listKeys(db)).every(({ revokedEpochMs }) => revokedEpochMs === null)).toBe(true);
});

test('the first key is made once, by whoever comes first', async () => {
  const made = await Promise.all(Array.from({ length: 5 }, () => ensureFirstKey(db)));
  expect(made.filter((key) => key !== null)).toHaveLength(1);
  const [key] = await listKeys(db);
  expect(key).toMatchObject({ name: 'admin', isAdmin: true });
  await revokeKey(db, 'admin');
  expect(await ensureFirstKey(db)).toBeNull();
});
