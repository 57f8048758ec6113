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
import { applyReports } from './report.ts';

let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'));
});

afterAll(async () => {
  await setup.stop();
});

async function leased(amount: number): Promise<{ budget: string; lease: string }> {
  const { id: budget } = await makeBudget(setup.db, { scope: `team:${crypto.randomUUID()}`, amountNanoUsd: 100 });
  const subject = (await setup.db.selectFrom('budgets').select('scope').where('id', '=', budget).executeTakeFirst())
    ?.scope;
  const answers = await grantLeases(setup.db, [askFor('ing-1', [{ budget, subject: subject ?? '', need: amount }])], 1);
  return { budget, lease: leasesOf(answers)[0] ?? '' };
}

const report = (lease: string, keep: number, isClosed = false, ingress = 'ing-1') =>
  applyReports(setup.db, [{ v: 1, ingress, leases: [{ lease, keep, isClosed }] }]);

const rowOf = (lease: string) =>
  setup.db.selectFrom('budget_leases').selectAll().where('id', '=', lease).executeTakeFirst();

test('what an ingress does not keep returns to the budget; it gets no more by a report', async () => {
  const { budget, lease } = await leased(60);
  expect(await report(lease, 25)).toEqual([[]]);
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 25n }]);
  expect(await report(lease, 90)).toEqual([[]]);
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 25n }]);
});

test('what events have settled is not given back, whatever is reported', async () => {
  const { budget, lease } = await leased(60);
  await recordAndMove(setup.db, [usageEvent({ costNanoUsd: 20, leases: [lease] })]);
  await report(lease, 5);
  expect(await rowOf(lease)).toMatchObject({ amount_nano_usd: 20n, settled_nano_usd: 20n, is_closed: false });
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 0n }]);
});

test('a lease that is given back waits for the events of what was consumed and reserved', async () => {
  const { budget, lease } = await leased(60);
  await report(lease, 30, true);
  expect(await rowOf(lease)).toMatchObject({ amount_nano_usd: 30n, is_closed: false });
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 30n }]);
  await recordAndMove(setup.db, [usageEvent({ costNanoUsd: 30, leases: [lease] })]);
  await report(lease, 30, true);
  expect(await rowOf(lease)).toMatchObject({ is_closed: true });
  expect(await report(lease, 30, true)).toEqual([[lease]]);
});

test('a lease that is unused is closed at once', async () => {
  const { budget, lease } = await leased(60);
  expect(await report(lease, 0, true)).toEqual([[]]);
  expect(await rowOf(lease)).toMatchObject({ is_closed: true });
  expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 0n }]);
});

test('a report renews', async () => {
  const { lease } = await leased(60);
  await expire(setup.db, lease, 6_000);
  await report(lease, 60);
  await reapBudgets(setup.db, 0);
  expect(await rowOf(lease)).toMatchObject({ is_closed: false });
});

test("what is no lease, was closed or is another's is lost", async () => {
  const { lease } = await leased(60);
  expect(await report('lse_none', 1)).toEqual([['lse_none']]);
  expect(await report(lease, 0, true, 'ing-2')).toEqual([[lease]]);
  await expire(setup.db, lease, 6_000);
  await reapBudgets(setup.db, 0);
  expect(await report(lease, 60)).toEqual([[lease]]);
});

test('several reports are applied at once, each lease as its own', async () => {
  const [one, two] = [await leased(60), await leased(60)];
  const reports = [one, two].map(({ lease }) => {
    return { v: 1 as const, ingress: 'ing-1', leases: [{ lease, keep: 10, isClosed: false }] };
  });
  expect(await applyReports(setup.db, reports)).toEqual([[], []]);
  for (const { budget } of [one, two]) expect(await windowsOf(setup.db, budget)).toMatchObject([{ leased: 10n }]);
});
