import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KeyAnswer } from '../../../shared/messages/key.ts';
import {
  blockKey,
  createKey,
  ensureFirstKey,
  findKey,
  getKey,
  hashOfToken,
  listKeys,
  revokeKey,
  rotateKey,
  unblockKey,
  updateKey,
} from './keys.ts';
import type { CreatedKey, KeyRecord, NewKey } from './keys.ts';
import { KeySecret } from './key-secret.ts';
import { lookUpKey } from './look-up-key.ts';
import { readRevision } from '../rules/revision.ts';
import type { Database } from '../database/schema.ts';
import { testSecret } from '../testing/secret.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const HOUR = 3_600_000;
let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterAll(() => close());

beforeEach(async () => {
  await db.deleteFrom('api_keys').execute();
});

const create = (spec: NewKey): Promise<CreatedKey> => createKey(db, spec, testSecret);
const lookUp = (token: string): Promise<KeyAnswer> => lookUpKey(db, testSecret, hashOfToken(token));
const find = (which: string): Promise<KeyRecord> => findKey(db, which, testSecret);

describe('a key is found by the hash of its token', () => {
  test('and neither the token nor its SHA-256 is in the database', async () => {
    const { id, token, prefix } = await create({ name: 'one', team: 'blue' });
    expect(token).toMatch(/^sk-sluice-[\w-]{43}$/);
    expect(token.startsWith(prefix)).toBe(true);
    expect(await lookUp(token)).toEqual({
      v: 1,
      principal: { keyId: id, keyName: 'one', team: 'blue' },
      policy: {},
    });
    const row = await db.selectFrom('api_keys').selectAll().executeTakeFirstOrThrow();
    const stored = JSON.stringify(Object.values(row).map(String));
    expect(stored).not.toContain(token.slice(prefix.length));
    expect(stored).not.toContain(hashOfToken(token));
  });

  test('and with another secret by nobody', async () => {
    const { token } = await create({ name: 'one' });
    const other = new KeySecret('quite another secret');
    expect(await lookUpKey(db, other, hashOfToken(token))).toEqual({ v: 1, principal: null });
  });

  test('and by no other', async () => {
    await create({ name: 'one' });
    expect(await lookUp('sk-sluice-nobody')).toEqual({ v: 1, principal: null });
  });

  test('also when an older release kept its plain SHA-256, which is replaced', async () => {
    const { id, token } = await create({ name: 'old' });
    const stored = () => db.selectFrom('api_keys').select(['hash', 'hash_kind']).executeTakeFirstOrThrow();
    const kept = await stored();
    await db
      .updateTable('api_keys')
      .set({ hash: hashOfToken(token), hash_kind: 'sha256' })
      .execute();
    for (const time of ['first', 'second']) {
      expect((await lookUp(token)).principal, time).toMatchObject({ keyId: id });
      expect(await stored()).toEqual(kept);
    }
  });
});

test('a key is found by index, however many there are', async () => {
  const { id, token } = await create({ name: 'one', team: 'blue' });
  await sql`
    insert into api_keys (id, name, hash, hash_kind, prefix, old_hash)
    select 'key_n' || n, 'n' || n, md5('a' || n) || md5('b' || n), 'hmac', 'sk-sluice-n', md5('c' || n) || md5('d' || n)
    from generate_series(1, 20000) n`.execute(db);
  await sql`analyze api_keys`.execute(db);
  expect((await lookUp(token)).principal?.keyId).toBe(id);
  const { rows } = await sql<{ 'QUERY PLAN': string }>`
    explain select id from api_keys k
    where (k.hash = ${hashOfToken('a')} or k.old_hash = ${hashOfToken('a')} or k.hash = ${hashOfToken('b')})
      and k.revoked_at is null`.execute(db);
  expect(rows.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Seq Scan');
});

test('what a key may do is told with it, and what is the default is not', async () => {
  const spec = {
    ...{ name: 'narrow', team: 'search', user: 'ada', organisation: 'acme', role: 'team_admin' as const },
    ...{ routes: ['chat'], models: ['openai/*', 'openai/*'], regions: ['eu'], networks: ['10.0.0.0/8', '::1'] },
    ...{ mayName: ['feature' as const], tags: { env: 'test' }, logPayloads: 'redacted' as const },
    ...{ overrides: ['strategy' as const], expiresEpochMs: Date.UTC(2100, 0) },
  };
  const created = await create(spec);
  expect(await lookUp(created.token)).toEqual({
    v: 1,
    principal: {
      ...{ keyId: created.id, keyName: 'narrow', team: 'search', user: 'ada', organisation: 'acme' },
      overrides: ['strategy'],
    },
    policy: {
      ...{ role: 'team_admin', routes: ['chat'], models: ['openai/*'], regions: ['eu'] },
      ...{ networks: ['10.0.0.0/8', '::1'], mayName: ['feature'], tags: { env: 'test' }, logPayloads: 'redacted' },
      expiresEpochMs: Date.UTC(2100, 0),
    },
  });
  const { token, ...record } = created;
  expect(token).toBeDefined();
  expect(await getKey(db, created.id)).toEqual(record);
  expect(record).toMatchObject({ ...spec, models: ['openai/*'], isAdmin: false, version: 1 });
});

test('who is named for the first time gets a row, and who has one keeps it', async () => {
  await create({ name: 'one', organisation: 'globex', team: 'ops', user: 'bob' });
  await create({ name: 'two', organisation: 'initech', team: 'ops', user: 'bob' });
  const rowOf = (table: 'organisations' | 'teams' | 'users', id: string) =>
    db.selectFrom(table).selectAll().where('id', '=', id).executeTakeFirst();
  expect(await rowOf('organisations', 'globex')).toMatchObject({ name: 'globex' });
  expect(await rowOf('teams', 'ops')).toMatchObject({ name: 'ops', organisation: 'globex' });
  expect(await rowOf('users', 'bob')).toMatchObject({ name: 'bob', team: 'ops' });
});

test('a key belongs to the organisation of its team, and has the tags of all that it belongs to', async () => {
  await sql`insert into organisations (id, name, tags) values ('umbrella', 'U', '{"a": "org", "d": "org"}')`.execute(
    db,
  );
  await sql`insert into teams (id, name, organisation, tags) values ('hive', 'H', 'umbrella', '{"a": "team", "c": "team"}')`.execute(
    db,
  );
  await sql`insert into users (id, name, team, tags) values ('eve', 'E', 'hive', '{"a": "user", "b": "user"}')`.execute(
    db,
  );
  const { token } = await create({ name: 'one', user: 'eve', tags: { a: 'key' } });
  expect(await lookUp(token)).toMatchObject({
    principal: { user: 'eve', team: 'hive', organisation: 'umbrella' },
    policy: { tags: { a: 'key', b: 'user', c: 'team', d: 'org' } },
  });
});

test.each(['owner', 'admin', 'viewer', 'team_admin', null])('role %s', async (role) => {
  const { token, isAdmin } = await create({ name: 'boss', role: role as 'owner' });
  const isOne = role === 'owner' || role === 'admin';
  expect(isAdmin).toBe(isOne);
  const { principal, policy } = await lookUp(token);
  expect(principal?.isAdmin).toBe(isOne || undefined);
  expect(policy?.role).toBe(role ?? undefined);
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
  const { id, token } = await create(key);
  expect((await lookUp(token)).principal).toEqual({ keyId: id, keyName: 'one', team: null, ...principal });
  expect(await listKeys(db)).toMatchObject([{ overrides: listed }]);
});

test('a name that is taken is refused, also when two ask at once', async () => {
  const both = await Promise.allSettled([create({ name: 'one' }), create({ name: 'one' })]);
  const refused = both.filter((result) => result.status === 'rejected');
  expect(refused).toHaveLength(1);
  expect(refused[0]?.reason).toMatchObject({ code: 'invalid_request', message: 'A key named "one" exists already.' });
});

describe('a change', () => {
  test('says anew what it names, and leaves the rest', async () => {
    const { id, token } = await create({ name: 'one', team: 'blue', models: ['a/b'], tags: { env: 'test' } });
    const before = await readRevision(db);
    const changed = await updateKey(db, id, { name: 'uno', models: null, networks: ['127.0.0.1'] });
    expect(changed).toMatchObject({ name: 'uno', team: 'blue', models: null, tags: { env: 'test' }, version: 2 });
    expect((await lookUp(token)).policy).toEqual({ networks: ['127.0.0.1'], tags: { env: 'test' } });
    expect(await readRevision(db)).toBe(before + 1n);
  });

  test('that is refused changes nothing', async () => {
    const { id } = await create({ name: 'one' });
    await create({ name: 'two' });
    const before = await readRevision(db);
    await expect(updateKey(db, id, { name: 'two', team: 'unmade' })).rejects.toMatchObject({ param: 'name' });
    await expect(updateKey(db, id, { networks: ['10.0.0.0/99'] })).rejects.toMatchObject({ param: 'networks' });
    expect(await db.selectFrom('teams').select('id').where('id', '=', 'unmade').execute()).toEqual([]);
    expect(await readRevision(db)).toBe(before);
    expect(await getKey(db, id)).toMatchObject({ name: 'one', version: 1 });
  });

  test('within a transaction of the caller is undone with it, and several are one revision', async () => {
    const { id } = await create({ name: 'one' });
    const before = await readRevision(db);
    await db.transaction().execute(async (tx) => {
      await getKey(tx, id, { isLocked: true });
      await blockKey(tx, id);
      await updateKey(tx, id, { team: 'red' });
    });
    expect(await readRevision(db)).toBe(before + 1n);
    const failing = db.transaction().execute(async (tx) => {
      await revokeKey(tx, id);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await readRevision(db)).toBe(before + 1n);
    expect(await getKey(db, id)).toMatchObject({ revokedEpochMs: null, team: 'red', version: 3 });
  });
});

describe('a rotated key', () => {
  test('has a new token, and its old one until the overlap ends', async () => {
    const { id, token } = await create({ name: 'one' });
    const rotated = await rotateKey(db, id, { secret: testSecret, overlapMs: HOUR });
    expect(rotated).toMatchObject({ id, name: 'one', version: 2 });
    expect(rotated.token).not.toBe(token);
    expect(rotated.token.startsWith(rotated.prefix)).toBe(true);
    expect((await lookUp(rotated.token)).policy).toEqual({});
    const old = await lookUp(token);
    expect(old.principal).toMatchObject({ keyId: id });
    expect(old.policy).toEqual({ expiresEpochMs: rotated.oldTokenUntilEpochMs });
    expect((rotated.oldTokenUntilEpochMs ?? 0) - rotated.updatedEpochMs).toBeCloseTo(HOUR, -1);
  });

  test('forgets the token before the old one', async () => {
    const { id, token } = await create({ name: 'one' });
    const second = await rotateKey(db, id, { secret: testSecret, overlapMs: HOUR });
    await rotateKey(db, id, { secret: testSecret, overlapMs: HOUR });
    expect((await lookUp(token)).principal).toBeNull();
    expect((await lookUp(second.token)).principal).toMatchObject({ keyId: id });
  });

  test('that an older release made keeps its old token too', async () => {
    const { id, token } = await create({ name: 'one' });
    await db
      .updateTable('api_keys')
      .set({ hash: hashOfToken(token), hash_kind: 'sha256' })
      .execute();
    const { token: fresh } = await rotateKey(db, id, { secret: testSecret, overlapMs: HOUR });
    expect((await lookUp(token)).principal).toMatchObject({ keyId: id });
    expect((await lookUp(fresh)).principal).toMatchObject({ keyId: id });
  });

  test.each([-1, 93 * 24 * HOUR, NaN])('has no overlap of %d ms', async (overlapMs) => {
    const { id } = await create({ name: 'one' });
    await expect(rotateKey(db, id, { secret: testSecret, overlapMs })).rejects.toMatchObject({ param: 'overlap' });
  });
});

test('a blocked key says so until it is unblocked', async () => {
  const { id, token } = await create({ name: 'one' });
  const { blockedEpochMs } = await blockKey(db, id);
  expect(await lookUp(token)).toMatchObject({ principal: { keyId: id }, policy: { isBlocked: true } });
  expect((await blockKey(db, id)).blockedEpochMs).toBe(blockedEpochMs);
  expect((await unblockKey(db, id)).blockedEpochMs).toBeNull();
  expect((await lookUp(token)).policy).toEqual({});
});

test('a revoked key is no key, and its name is free again', async () => {
  const { token, id } = await create({ name: 'one' });
  expect(await revokeKey(db, id)).toMatchObject({ id, name: 'one' });
  expect((await lookUp(token)).principal).toBeNull();
  await create({ name: 'one' });
  const listed = await listKeys(db);
  expect(listed.map(({ name, revokedEpochMs }) => [name, revokedEpochMs === null]).toSorted()).toEqual([
    ['one', false],
    ['one', true],
  ]);
});

test('a revoked key cannot be changed, nor can one that does not exist', async () => {
  const { id } = await create({ name: 'one' });
  await revokeKey(db, id);
  const changes = [
    () => revokeKey(db, id),
    () => blockKey(db, id),
    () => unblockKey(db, id),
    () => updateKey(db, id, { team: 'a' }),
    () => rotateKey(db, id, { secret: testSecret, overlapMs: 0 }),
  ];
  for (const change of changes) await expect(change()).rejects.toThrow('The key "one" is revoked already.');
  await expect(blockKey(db, 'key_none')).rejects.toMatchObject({ code: 'not_found', param: 'key' });
  await expect(getKey(db, 'key_none')).rejects.toMatchObject({ code: 'not_found' });
});

describe('what a person calls a key', () => {
  test.each(['id', 'name', 'prefix', 'token'] as const)('may be its %s', async (by) => {
    const key = await create({ name: 'one' });
    await create({ name: 'other' });
    expect(await find(by === 'prefix' ? `${key.prefix}…` : key[by])).toMatchObject({ id: key.id });
  });

  test('may be its old token', async () => {
    const { id, token } = await create({ name: 'one' });
    await rotateKey(db, id, { secret: testSecret, overlapMs: HOUR });
    expect(await find(token)).toMatchObject({ id });
  });

  test('and where there is none, is not repeated in full', async () => {
    const { id, token } = await create({ name: 'one' });
    await expect(find('two')).rejects.toThrow('The key "two" does not exist.');
    await revokeKey(db, id);
    await expect(find('one')).rejects.toThrow('The key "one" is revoked already.');
    await expect(find(token)).rejects.toThrow(/^The key "sk-sluice-....…" is revoked already.$/);
  });

  test('must mean one', async () => {
    const one = await create({ name: 'one' });
    const two = await create({ name: 'two' });
    await db.updateTable('api_keys').set({ prefix: one.prefix }).where('id', '=', two.id).execute();
    await expect(find(one.prefix)).rejects.toThrow(/means several keys: one \(key_.*, two \(key_/);
  });
});

test('the first key is made once, by whoever comes first', async () => {
  const made = await Promise.all(Array.from({ length: 5 }, () => ensureFirstKey(db, testSecret)));
  expect(made.filter((key) => key !== null)).toHaveLength(1);
  const [key] = await listKeys(db);
  expect(key).toMatchObject({ name: 'admin', role: 'owner', isAdmin: true });
  await revokeKey(db, key?.id ?? '');
  expect(await ensureFirstKey(db, testSecret)).toBeNull();
});
