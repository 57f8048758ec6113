import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { askFor, leasesOf, makeBudget, recordAndMove, setUpBudgets, windowsOf } from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { BalanceMemory } from './balance-memory.ts';
import { moveBalances } from './balances.ts';
import { grantLeases } from './grant.ts';
import { removeBudget, updateBudget } from './store.ts';

let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'), 2);
});

afterAll(async () => {
  await setup.stop();
});

const NOON = Date.UTC(2026, 10, 20, 12);
const DAY = 86_400_000;

/** What nobody else's events fall under. */
let scopes = 0;
const aTeam = (): string => `team-${++scopes}`;

async function lease(budget: string, subject: string, need: number, ingress = 'ing-1'): Promise<string> {
  const [id] = leasesOf(await grantLeases(setup.db, [askFor(ingress, [{ budget, subject, need }])], 1));
  if (id === undefined) throw new Error('refused');
  return id;
}

test('an event is spent in every budget it falls under, in the window it was admitted in', async () => {
  const team = aTeam();
  const event: Partial<UsageRecorded> = {
    ...{ team, organisation: `org-${team}`, user: `ada-${team}`, keyId: `key-${team}`, feature: `f-${team}` },
    ...{ route: `r-${team}`, model: `m-${team}`, modelScope: `provider/${team}`, tags: { env: team } },
    ...{ costNanoUsd: 7, startedEpochMs: NOON, admittedEpochMs: NOON - DAY },
  };
  const counted = [
    ...[`team:${team}`, `organisation:org-${team}`, `user:ada-${team}`, `key:key-${team}`, `feature:f-${team}`],
    ...[`route:r-${team}`, `model:provider/${team}`, `tag:env=${team}`],
  ];
  const budgets = await Promise.all(counted.map((scope) => makeBudget(setup.db, { scope })));
  const other = await makeBudget(setup.db, { scope: `model:m-${team}` });
  await recordAndMove(setup.db, [usageEvent(event), usageEvent({ ...event, costNanoUsd: null })]);
  for (const { id, scope } of budgets) {
    expect(await windowsOf(setup.db, id)).toEqual([
      { subject: scope, limit: 1_000n, spent: 7n, leased: 0n, excess: 0n },
    ]);
    const row = await setup.db
      .selectFrom('budget_windows')
      .select(['starts_at', 'ends_at'])
      .where('budget_id', '=', id)
      .executeTakeFirst();
    expect(row).toEqual({ starts_at: new Date('2026-11-19'), ends_at: new Date('2026-11-20') });
  }
  expect(await windowsOf(setup.db, other.id)).toEqual([]);
});

test('a pattern counts each apart', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'feature:*', per: 'total' });
  const costs = [1, 2, 3].map((costNanoUsd) => usageEvent({ feature: costNanoUsd < 3 ? 'a' : 'b', costNanoUsd }));
  await recordAndMove(setup.db, costs);
  const windows = await windowsOf(setup.db, id);
  expect(windows.map(({ subject, spent }) => [subject, spent])).toEqual(
    expect.arrayContaining([
      ['feature:a', 3n],
      ['feature:b', 3n],
    ]),
  );
  await setup.db.transaction().execute((tx) => removeBudget(tx, id));
});

test('a duplicate moves nothing, in one batch and in two', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}` });
  const event = usageEvent({ team, costNanoUsd: 5 });
  await recordAndMove(setup.db, [event, event]);
  await Promise.all(setup.ledgers.map((ledger) => recordAndMove(ledger, [event])));
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 5n }]);
});

test('a cost moves from leased to spent; what its lease does not cover is added', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 100 });
  const named = await lease(id, `team:${team}`, 60);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 25, leases: [named] })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 25n, leased: 35n, excess: 0n }]);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 50, leases: [named] })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 75n, leased: 0n, excess: 0n }]);
});

test('what is spent beyond the limit is told, and named in excess', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 100 });
  const told: bigint[] = [];
  const spend = (costNanoUsd: number) =>
    recordAndMove(setup.db, [usageEvent({ team, costNanoUsd })], { onExcess: (excess) => told.push(excess) });
  await spend(90);
  await spend(25);
  await spend(10);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 100n, spent: 125n, excess: 25n }]);
  expect(told).toEqual([15n, 10n]);
});

test('two leases of a window settle a cost once, and what is short comes from others of the ingress', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 100 });
  const subject = `team:${team}`;
  const [first, second] = [await lease(id, subject, 10), await lease(id, subject, 20)];
  await lease(id, subject, 30);
  await lease(id, subject, 40, 'ing-2');
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 35, leases: [first, second], ingress: 'ing-1' })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 35n, leased: 65n, excess: 0n }]);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 30, leases: [second], ingress: 'ing-1' })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 65n, leased: 40n, excess: 5n }]);
});

test('an event whose clock is of another day is spent in the window of its lease', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 10 });
  const named = await lease(id, `team:${team}`, 10);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 10, leases: [named], admittedEpochMs: NOON - DAY })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 10n, leased: 0n, excess: 0n }]);
});

test('a lease of a budget that the event does not fall under returns what it covered', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `route:r-${team}` });
  const named = await lease(id, `route:r-${team}`, 10);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 4, leases: [named, 'lse_unknown'] })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 0n, leased: 6n }]);
});

test('a budget counts what is recorded from its creation on, and nothing once it is removed', async () => {
  const team = aTeam();
  const event = () => usageEvent({ team, costNanoUsd: 5, admittedEpochMs: NOON });
  await recordAndMove(setup.db, [event()]);
  const { id } = await makeBudget(setup.db, { scope: `team:${team}` });
  await recordAndMove(setup.db, [event()]);
  await setup.db.transaction().execute((tx) => removeBudget(tx, id));
  await recordAndMove(setup.db, [event()]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 5n }]);
});

test('a rolling budget counts what is within its length', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, per: 'rolling', rollingMs: 3_600_000 });
  const ago = (ms: number, costNanoUsd: number) => usageEvent({ team, costNanoUsd, admittedEpochMs: Date.now() - ms });
  await recordAndMove(setup.db, [ago(0, 1), ago(1_800_000, 2), ago(1_800_000, 4), ago(7_200_000, 8)]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 7n }]);
});

test('what is remembered of a database is read anew once it is not so, and nothing is counted twice', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}` });
  const memory = new BalanceMemory();
  const record = (costNanoUsd: number): Promise<void> =>
    recordAndMove(setup.db, [usageEvent({ team, costNanoUsd, startedEpochMs: NOON })], { memory });
  for (const cost of [1, 2, 4]) await record(cost);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 7n }]);
  // As a backup has it that is older than the window.
  await setup.db.deleteFrom('budget_windows').where('budget_id', '=', id).execute();
  await expect(record(8)).rejects.toThrow('has gone');
  await record(8);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 8n }]);
});

test('a correction changes what was spent, also to less', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 10 });
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 15, startedEpochMs: NOON })]);
  const correction = usageEvent({ team, costNanoUsd: -7, startedEpochMs: NOON });
  await setup.db.transaction().execute((tx) => moveBalances(tx, [correction]));
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 8n, excess: 0n }]);
});

test('a limit that is lowered below what was spent makes excess of the difference; a later window has the new limit', async () => {
  const team = aTeam();
  const { id } = await makeBudget(setup.db, { scope: `team:${team}`, amountNanoUsd: 100 });
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 80, admittedEpochMs: Date.now() })]);
  await setup.db.transaction().execute((tx) => updateBudget(tx, id, { amountNanoUsd: 50 }));
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 50n, spent: 80n, excess: 30n }]);
  await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd: 1, admittedEpochMs: Date.now() + 2 * DAY })]);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 50n }, { limit: 50n, spent: 1n }]);
});

test('a window that is made while its budget is changed has the new limit', async () => {
  const { db } = setup;
  for (let round = 0; round < 20; round++) {
    const team = aTeam();
    const { id } = await makeBudget(db, { scope: `team:${team}`, amountNanoUsd: 100 });
    await Promise.all([
      recordAndMove(db, [usageEvent({ team, costNanoUsd: 1, admittedEpochMs: Date.now() })]),
      db.transaction().execute((tx) => updateBudget(tx, id, { amountNanoUsd: 50 })),
    ]);
    expect(await windowsOf(db, id)).toMatchObject([{ limit: 50n, spent: 1n }]);
  }
});

test('batches that name the same budgets in other orders do not wait for each other in a circle', async () => {
  const teams = Array.from({ length: 8 }, aTeam);
  for (const team of teams) await makeBudget(setup.db, { scope: `team:${team}`, per: 'total', amountNanoUsd: 1e9 });
  const { id } = await makeBudget(setup.db, { scope: 'team:*', per: 'total', amountNanoUsd: 1e9 });
  await Promise.all(
    Array.from({ length: 30 }, (_, round) => {
      const db = setup.ledgers[round % setup.ledgers.length] ?? setup.db;
      const order = round % 2 === 0 ? teams : teams.toReversed();
      if (round % 3 === 0) {
        const items = order.map((team) => ({ budget: id, subject: `team:${team}`, need: 1 }));
        return grantLeases(db, [askFor('ing-1', items)], 1).then(() => undefined);
      }
      return recordAndMove(
        db,
        order.map((team) => usageEvent({ team, costNanoUsd: 1 })),
      );
    }),
  );
  const windows = await windowsOf(setup.db, id);
  const own = windows.filter(({ subject }) => teams.includes(subject.slice('team:'.length)));
  expect(own.map(({ spent, leased }) => [spent, leased])).toEqual(teams.map(() => [20n, 10n]));
  await setup.db.transaction().execute((tx) => removeBudget(tx, id));
});
