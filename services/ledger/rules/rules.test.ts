import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import { blockScope, listBlocks, unblockScope } from './blocks.ts';
import { bumpRevision, readRevision } from './revision.ts';
import { rulesFor } from './rules.ts';
import type { Database } from '../database/schema.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterAll(() => close());

beforeEach(async () => {
  for (const table of ['limits', 'budgets', 'blocks'] as const) await db.deleteFrom(table).execute();
});

const limit = (id: string, scope: string, more: object = { requests_per_minute: 1n }): Promise<unknown> =>
  db
    .insertInto('limits')
    .values({
      ...{ requests_per_minute: null, tokens_per_minute: null, cost_nano_usd: null, cost_window_ms: null },
      ...{ concurrent: null, burst: null, id, scope },
      ...more,
    })
    .execute();
const budget = (id: string, scope: string, more: object = {}): Promise<unknown> =>
  db
    .insertInto('budgets')
    .values({
      ...{ id, name: id.toUpperCase(), scope, amount_nano_usd: 9_000_000_000_000_000n, per: 'month' as const },
      ...{ rolling_ms: null, ...more },
    })
    .execute();

describe('rules', () => {
  test('of the scopes that are asked for, and of no others', async () => {
    await limit('l1', 'team:search', {
      ...{ requests_per_minute: 60n, tokens_per_minute: 9_000_000_000n, burst: 5n },
      ...{ cost_nano_usd: 9_007_199_254_740_991n, cost_window_ms: 3_600_000n, concurrent: 7n },
    });
    await limit('l2', 'team:search');
    await limit('l3', 'team:other');
    await budget('b1', 'user:*', { is_hard: false, on_limit: JSON.stringify({ kind: 'downgrade', to: 'cheap' }) });
    await budget('b2', 'total');
    await budget('b3', 'total', { is_live: false });
    await blockScope(db, { scope: 'key:key_1', reason: 'leaked', by: 'ops' });
    const answer = await rulesFor(db, ['total', 'team:search', 'team:*', 'user:ada', 'user:*', 'key:key_1']);
    expect(answer).toEqual({
      ...{ v: 1, revision: Number(await readRevision(db)) },
      kinds: expect.anything() as string[],
      standings: ['user'],
      rules: {
        total: {
          limits: [],
          budgets: [{ id: 'b2', name: 'B2', scope: 'total', isHard: true, onLimit: { kind: 'reject' } }],
        },
        'team:search': {
          limits: [
            {
              ...{ requestsPerMinute: 60, tokensPerMinute: 9e9, concurrent: 7, burst: 5 },
              cost: { nanoUsd: 9_007_199_254_740_991, perMs: 3_600_000 },
            },
            { requestsPerMinute: 1 },
          ],
          budgets: [],
        },
        'user:*': {
          limits: [],
          budgets: [
            { id: 'b1', name: 'B1', scope: 'user:*', isHard: false, onLimit: { kind: 'downgrade', to: 'cheap' } },
          ],
        },
        'key:key_1': { blocked: { reason: 'leaked' }, limits: [], budgets: [] },
      },
    });
  });

  test('the kinds that have any are told, those by name apart from patterns', async () => {
    expect((await rulesFor(db, [])).kinds).toEqual([]);
    await limit('l1', 'team:search');
    await budget('b1', 'user:*');
    await budget('b2', 'route:old', { is_live: false });
    await blockScope(db, { scope: 'tag:env=test', reason: 'r', by: 'ops' });
    await blockScope(db, { scope: 'total', reason: 'r', by: 'ops' });
    expect((await rulesFor(db, [])).kinds.toSorted()).toEqual(['tag', 'team', 'total', 'user:*']);
    // On either side of the pattern.
    await limit('l2', 'user:!first');
    await limit('l3', 'feature:ünder');
    expect(new Set((await rulesFor(db, [])).kinds)).toEqual(
      new Set(['tag', 'team', 'total', 'user:*', 'user', 'feature']),
    );
  });

  test('are found by index, whatever there is of other scopes', async () => {
    await sql`insert into limits (id, scope, requests_per_minute) select 'l' || n, 'user:u' || n, 1 from generate_series(1, 20000) n`.execute(
      db,
    );
    await sql`analyze limits`.execute(db);
    const plan = await sql<{ 'QUERY PLAN': string }>`
      explain select scope from limits where scope = any(array['user:u7', 'total'])`.execute(db);
    expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('limits_by_scope');
    expect(await rulesFor(db, ['user:u7'])).toMatchObject({
      kinds: ['user'],
      rules: { 'user:u7': { limits: [{ requestsPerMinute: 1 }] } },
    });
  });
});

describe('a block', () => {
  test('is listed until it is taken back, and each change is a revision', async () => {
    const before = await readRevision(db);
    await blockScope(db, { scope: 'team:search', reason: 'runaway loop', by: 'ops' });
    await blockScope(db, { scope: 'team:search', reason: 'still', by: 'ada' });
    expect(await listBlocks(db)).toMatchObject([{ scope: 'team:search', reason: 'still', by: 'ada' }]);
    expect(await unblockScope(db, 'team:search')).toMatchObject({ reason: 'still' });
    expect(await listBlocks(db)).toEqual([]);
    expect(await readRevision(db)).toBe(before + 3n);
    await expect(unblockScope(db, 'team:search')).rejects.toMatchObject({ code: 'not_found', param: 'scope' });
    expect(await readRevision(db)).toBe(before + 3n);
  });

  test.each(['', 'search', 'team:', 'planet:mars', 'total:x', 'tag:env', `user:${'x'.repeat(129)}`])(
    'is not of %j',
    async (scope) => {
      await expect(blockScope(db, { scope, reason: 'r', by: 'ops' })).rejects.toMatchObject({
        code: 'invalid_request',
        param: 'scope',
      });
    },
  );

  test.each([' ', 'x'.repeat(501)])('has no such reason', async (reason) => {
    await expect(blockScope(db, { scope: 'total', reason, by: 'ops' })).rejects.toMatchObject({ param: 'reason' });
  });
});

test('the revision rises once in a transaction, by one for each of those at once, and not for one that fails', async () => {
  const before = await readRevision(db);
  const raised = await Promise.all(
    Array.from({ length: 5 }, () =>
      db.transaction().execute(async (tx) => {
        const first = await bumpRevision(tx);
        expect(await bumpRevision(tx)).toBe(first);
        return first;
      }),
    ),
  );
  expect(new Set(raised)).toEqual(new Set([1n, 2n, 3n, 4n, 5n].map((more) => before + more)));
  const failing = db.transaction().execute(async (tx) => {
    await bumpRevision(tx);
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await readRevision(db)).toBe(before + 5n);
});
