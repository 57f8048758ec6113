import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LimitChange, NewLimit } from './limits.ts';
import { createLimit, getLimit, listLimits, removeLimit, updateLimit } from './limits.ts';
import type { Database } from '../database/schema.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterAll(() => close());

beforeEach(async () => void (await db.deleteFrom('limits').execute()));

const inTransaction = <T>(change: (tx: Database) => Promise<T>): Promise<T> => db.transaction().execute(change);
const create = (limit: NewLimit) => inTransaction((tx) => createLimit(tx, limit));
const update = (id: string, change: LimitChange) => inTransaction((tx) => updateLimit(tx, id, change));
const revision = async (): Promise<bigint> =>
  (await db.selectFrom('revisions').select('revision').executeTakeFirstOrThrow()).revision;

test('a limit is made, read, changed and taken away, and each of it raises the revision', async () => {
  const before = await revision();
  const cost = { nanoUsd: 5_000_000_000, perMs: 3_600_000 };
  const { id, version } = await create({ scope: 'user:*', requestsPerMinute: 60, burst: 5, cost });
  expect(version).toBe(1n);
  expect(await getLimit(db, id)).toMatchObject({
    ...{ scope: 'user:*', requests_per_minute: 60n, tokens_per_minute: null, concurrent: null, burst: 5n },
    ...{ cost_nano_usd: 5_000_000_000n, cost_window_ms: 3_600_000n },
  });
  expect(await revision()).toBe(before + 1n);

  const changed = await update(id, { burst: null, cost: null, concurrent: 3 });
  expect(changed).toMatchObject({
    ...{ version: 2n, requests_per_minute: 60n, concurrent: 3n, burst: null },
    ...{ cost_nano_usd: null, cost_window_ms: null },
  });
  expect(await revision()).toBe(before + 2n);

  expect((await inTransaction((tx) => removeLimit(tx, id)))?.id).toBe(id);
  expect(await getLimit(db, id)).toBeUndefined();
  expect(await revision()).toBe(before + 3n);
});

test('what is not there is neither changed nor taken away', async () => {
  const before = await revision();
  expect(await update('lim_none', { concurrent: 1 })).toBeUndefined();
  expect(await inTransaction((tx) => removeLimit(tx, 'lim_none'))).toBeUndefined();
  expect(await revision()).toBe(before);
});

test('limits are listed by page, oldest first, and by scope', async () => {
  const ids: string[] = [];
  for (const scope of ['total', 'team:a', 'team:a', 'team:b']) ids.push((await create({ scope, concurrent: 1 })).id);
  const [first, second, third, fourth] = ids;
  const idsOf = async (...args: Parameters<typeof listLimits> extends [Database, ...infer Rest] ? Rest : never) =>
    (await listLimits(db, ...args)).map(({ id }) => id);
  expect(await idsOf({}, { limit: 3 })).toEqual([first, second, third]);
  expect(await idsOf({}, { limit: 3, after: third })).toEqual([fourth]);
  expect(await idsOf({ scope: 'team:a' }, { limit: 9 })).toEqual([second, third]);
});

describe('is refused', () => {
  test.each([
    { limit: { scope: 'tean:a', concurrent: 1 }, param: 'scope' },
    { limit: { scope: 'tag:env=test', concurrent: 1 }, param: 'scope' },
    { limit: { scope: 'total' }, param: 'requests_per_minute' },
    { limit: { scope: 'total', concurrent: 0 }, param: 'concurrent' },
    { limit: { scope: 'total', tokensPerMinute: 1.5 }, param: 'tokens_per_minute' },
    { limit: { scope: 'total', cost: { nanoUsd: 0, perMs: 1 } }, param: 'cost' },
    { limit: { scope: 'total', tokensPerMinute: 9, burst: 3 }, param: 'burst' },
  ])('$limit', async ({ limit, param }) => {
    const before = await revision();
    await expect(create(limit)).rejects.toMatchObject({ code: 'invalid_request', param });
    expect(await revision()).toBe(before);
  });

  test('a change that leaves nothing', async () => {
    const { id } = await create({ scope: 'total', concurrent: 1 });
    await expect(update(id, { concurrent: null })).rejects.toMatchObject({ param: 'requests_per_minute' });
    expect((await getLimit(db, id))?.version).toBe(1n);
  });
});
