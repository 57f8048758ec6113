import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import {
  askFor,
  expire,
  leasesOf,
  makeBudget,
  recordAndMove,
  setUpBudgets,
  windowsOf,
} from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { grantLeases } from './grant.ts';
import { reapBudgets } from './reap.ts';
import { getBudget, raiseBudget } from './store.ts';

const MINUTE = 60_000;
let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'), 2);
});

afterAll(async () => {
  await setup.stop();
});

async function leased(amount: number): Promise<{ budget: string; lease: string }> {
  const { id: budget } = await makeBudget(setup.db, { amountNanoUsd: 100, per: 'total' });
  const answers = await grantLeases(setup.db, [askFor('ing-1', [{ budget, need: amount }])], 1);
  return { budget, lease: leasesOf(answers)[0] ?? '' };
}

test('what a dead ingress reserved returns, but for what was spent', async () => {
  const { budget, lease } = await leased(60);
  await recordAndMove(setup.db, [usageEvent({ costNanoUsd: 10, leases: [lease] })]);
  await expire(setup.db, lease, 6_000);
  expect(await reapBudgets(setup.db, 0)).toEqual({ expired: 1 });
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ spent: 10n, leased: 0n, excess: 0n }]);
  await recordAndMove(setup.db, [usageEvent({ costNanoUsd: 5, leases: [lease] })]);
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ spent: 15n, leased: 0n }]);
});

test.each([
  { expiredAgoMs: -1_000, recordedForMs: 0, isClosed: false, why: 'not expired' },
  { expiredAgoMs: 4_000, recordedForMs: 0, isClosed: false, why: 'a late report may be on its way' },
  { expiredAgoMs: 7_000, recordedForMs: 1_000, isClosed: true, why: 'all that was spent is recorded' },
  { expiredAgoMs: 7_000, recordedForMs: 3_000, isClosed: false, why: 'events may wait since then' },
  { expiredAgoMs: MINUTE, recordedForMs: Infinity, isClosed: false, why: 'the stream of events was never empty' },
  { expiredAgoMs: 11 * MINUTE, recordedForMs: Infinity, isClosed: true, why: 'but it is not waited for that long' },
])('expired $expiredAgoMs ms ago, all recorded $recordedForMs ms ago: closed $isClosed ($why)', async (row) => {
  const { lease } = await leased(60);
  await expire(setup.db, lease, row.expiredAgoMs);
  await reapBudgets(setup.db, row.recordedForMs);
  const found = await setup.db
    .selectFrom('budget_leases')
    .select('is_closed')
    .where('id', '=', lease)
    .executeTakeFirst();
  expect(found?.is_closed).toBe(row.isClosed);
});

test('one ledger at a time', async () => {
  const [one, other] = setup.ledgers;
  await one?.connection().execute(async (holder) => {
    await sql`select pg_advisory_lock(7583020)`.execute(holder);
    expect(await reapBudgets(other ?? setup.db, 0)).toBeUndefined();
    await sql`select pg_advisory_unlock(7583020)`.execute(holder);
  });
  expect(await reapBudgets(setup.db, 0)).toBeDefined();
});

test('a raise that is over is taken back', async () => {
  const { budget } = await leased(60);
  const raise = { byNanoUsd: 50, untilEpochMs: Date.now() + MINUTE };
  await setup.db.transaction().execute((tx) => raiseBudget(tx, budget, raise));
  await reapBudgets(setup.db, 0);
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ limit: 150n }]);
  const over = new Date(Date.now() - 1);
  await setup.db.updateTable('budgets').set({ raised_until: over }).where('id', '=', budget).execute();
  await reapBudgets(setup.db, 0);
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ limit: 100n }]);
  expect(await getBudget(setup.db, budget)).toMatchObject({ raisedByNanoUsd: 0, raisedUntilEpochMs: null });
});

test('what has left a rolling budget is taken off, and its excess with it', async () => {
  const team = 'rolling';
  const { id } = await makeBudget(setup.db, {
    ...{ scope: `team:${team}`, amountNanoUsd: 10, per: 'rolling', rollingMs: MINUTE },
  });
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 14, admittedEpochMs: Date.now() })]);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 3, admittedEpochMs: Date.now() - MINUTE / 2 })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 17n, excess: 7n }]);
  const left = new Date(Date.now() - MINUTE - 1_001);
  await setup.db.updateTable('budget_parts').set({ starts_at: left }).where('spent_nano_usd', '=', 14n).execute();
  await reapBudgets(setup.db, 0);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 3n, excess: 0n }]);
});

test('a lease that was closed a day ago is forgotten', async () => {
  const { lease } = await leased(60);
  await expire(setup.db, lease, 6_000);
  await reapBudgets(setup.db, 0);
  await expire(setup.db, lease, 25 * 60 * MINUTE);
  await reapBudgets(setup.db, 0);
  expect(await setup.db.selectFrom('budget_leases').where('id', '=', lease).select('id').execute()).toEqual([]);
});
