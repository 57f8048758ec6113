import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { reRate } from './corrections.ts';
import { recentAttempts } from './list-attempts.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { makeBudget, windowsOf } from '../testing/budget-setup.ts';
import { usageEvent, usageEvents } from '../testing/usage-event.ts';
import { reportUsage } from './usage-report.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

/** A thousand tokens of input and two hundred of output, of each event: 1,000,000 + 400,000 nano-dollars. */
const PRICE = { input: 1e9, output: 2e9 };
const COST = 1_400_000n;
const by = { reason: 'the price came late', by: 'ops' };
let close: () => Promise<void>;
let db: Database;

beforeEach(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterEach(() => close());

async function total(exactUpToAttempts: number): Promise<object | undefined> {
  const [row] = await reportUsage(db, { groupBy: [], exactUpToAttempts });
  return row;
}

test('an unknown price that becomes known is in every report, and the attempt is as it was', async () => {
  await recordEvents(db, [usageEvent({ costNanoUsd: null }), usageEvent({ model: 'other', costNanoUsd: null })]);
  const done = await reRate(db, { filter: { model: 'gpt-4o-mini' }, priceOf: () => PRICE, ...by });
  expect(done).toEqual({ attempts: 1, corrected: 1, unpriced: 0, amountNanoUsd: COST });
  for (const exactUpToAttempts of [0, 10])
    expect(await total(exactUpToAttempts)).toMatchObject({
      attempts: 2,
      costNanoUsd: COST,
      attemptsWithUnknownPrice: 1,
    });
  expect(await recentAttempts(db, 1, { model: 'gpt-4o-mini' })).toMatchObject([
    { costNanoUsd: COST, correctionNanoUsd: COST },
  ]);
  const { rows } = await sql`select cost_nano_usd from attempts`.execute(db);
  expect(rows).toEqual([{ cost_nano_usd: null }, { cost_nano_usd: null }]);
  const entries = await db.selectFrom('corrections').selectAll().execute();
  expect(entries).toMatchObject([
    { amount_nano_usd: COST, is_first_price: true, reason: 'the price came late', corrected_by: 'ops' },
  ]);
});

test('again it changes nothing, another price only what differs, and down as well as up', async () => {
  await recordEvents(db, usageEvents(3, { costNanoUsd: 100 }));
  const reRating = { filter: {}, ...by };
  expect(await reRate(db, { ...reRating, priceOf: () => PRICE })).toMatchObject({ corrected: 3 });
  expect(await reRate(db, { ...reRating, priceOf: () => PRICE })).toMatchObject({ corrected: 0, amountNanoUsd: 0n });
  const free = await reRate(db, { ...reRating, priceOf: () => ({ input: 0, output: 0 }) });
  expect(free).toMatchObject({ corrected: 3, amountNanoUsd: -3n * COST });
  for (const exactUpToAttempts of [0, 10])
    expect(await total(exactUpToAttempts)).toMatchObject({ attempts: 3, costNanoUsd: 0n });
});

test('a price of nothing is a price: once', async () => {
  await recordEvents(db, [usageEvent({ costNanoUsd: null })]);
  const free = { filter: {}, priceOf: () => ({ input: 0, output: 0 }), ...by };
  expect(await reRate(db, free)).toMatchObject({ corrected: 1, amountNanoUsd: 0n });
  expect(await reRate(db, free)).toMatchObject({ corrected: 0 });
  expect(await total(0)).toMatchObject({ costNanoUsd: 0n, attemptsWithUnknownPrice: 0 });
});

test('what no price is known of stands', async () => {
  await recordEvents(db, [usageEvent({ costNanoUsd: null }), usageEvent({ costNanoUsd: 5 })]);
  expect(await reRate(db, { filter: {}, priceOf: () => undefined, ...by })).toMatchObject({
    ...{ attempts: 2, corrected: 0, unpriced: 2 },
  });
  expect(await total(0)).toMatchObject({ costNanoUsd: 5n, attemptsWithUnknownPrice: 1 });
});

test('many at once, and by several people at once: each attempt is corrected once', async () => {
  await recordEvents(db, usageEvents(2_500, { costNanoUsd: null, tags: { project: 'apollo' } }));
  const reRating = { filter: {}, priceOf: () => PRICE, ...by };
  const all = await Promise.all([reRate(db, reRating), reRate(db, reRating), reRate(db, reRating)]);
  expect(all.reduce((sum, { corrected }) => sum + corrected, 0)).toBe(2_500);
  for (const groupBy of [[], ['user'], ['tag:project']] as const)
    expect(await reportUsage(db, { groupBy, exactUpToAttempts: 0 })).toMatchObject([{ costNanoUsd: 2_500n * COST }]);
});

test('balances are moved by what changes, in the window that the attempt was charged to', async () => {
  const admittedEpochMs = Date.UTC(2026, 9, 31, 23, 59);
  await recordEvents(db, [
    usageEvent({ costNanoUsd: 1_400_001, admittedEpochMs, organisation: 'acme', user: 'ada', tags: { a: 'b' } }),
  ]);
  const moved: UsageRecorded[] = [];
  const moveBalances = (_: unknown, fresh: readonly UsageRecorded[]): Promise<void> => {
    moved.push(...fresh);
    return Promise.resolve();
  };
  await reRate(db, { filter: {}, priceOf: () => PRICE, ...by, moveBalances });
  const charged = { organisation: 'acme', user: 'ada', tags: { a: 'b' }, keyId: 'key_1', admittedEpochMs };
  expect(moved).toMatchObject([{ ...charged, costNanoUsd: -1 }]);
  expect(moved[0]).not.toHaveProperty('leases');
});

test('a change reaches the budgets that the attempt was charged to, whatever served it', async () => {
  const under = { model: 'small', modelScope: 'provider/small', route: 'cheaper' };
  await reachedAnew({ ...under, routeScope: 'best' }, ['model:provider/small', 'route:best'], ['route:cheaper']);
});

test('nor does it reach the budget of a route that it was not admitted under', async () => {
  await reachedAnew({ model: 'small', route: 'cheaper', routeScope: null }, ['model:small'], ['route:cheaper']);
});

test('where an event names no scopes they are its model and its route', async () => {
  await reachedAnew({ model: 'small', route: 'best' }, ['model:small', 'route:best'], []);
});

async function reachedAnew(event: Partial<UsageRecorded>, charged: string[], spared: string[]): Promise<void> {
  const budgets = await Promise.all(
    [...charged, ...spared].map((scope) => makeBudget(db, { scope, amountNanoUsd: 10_000_000, per: 'total' })),
  );
  await recordEvents(db, [usageEvent({ ...event, costNanoUsd: 100 })]);
  await reRate(db, { filter: {}, priceOf: () => PRICE, ...by });
  const reached = await Promise.all(
    budgets.map(async ({ id }) => (await windowsOf(db, id)).map(({ subject, spent }) => [subject, spent])),
  );
  expect(reached.flat()).toEqual(charged.map((scope) => [scope, COST]));
}

test('nothing is corrected where the balances cannot be moved', async () => {
  await recordEvents(db, [usageEvent({ costNanoUsd: null })]);
  const moveBalances = (): Promise<void> => Promise.reject(new Error('no'));
  await expect(reRate(db, { filter: {}, priceOf: () => PRICE, ...by, moveBalances })).rejects.toThrow('no');
  expect(await db.selectFrom('corrections').selectAll().execute()).toEqual([]);
  expect(await total(0)).toMatchObject({ costNanoUsd: 0n, attemptsWithUnknownPrice: 1 });
});

test.each(['update corrections set amount_nano_usd = 0', 'delete from corrections', 'truncate corrections'])(
  'refused: %s',
  async (statement) => {
    await expect(sql.raw(statement).execute(db)).rejects.toThrow('corrections is append-only');
  },
);
