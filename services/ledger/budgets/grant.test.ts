import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import { seeded } from '../../../shared/testing/seeded.ts';
import { usageEvent } from '../testing/usage-event.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { askFor, leasesOf, makeBudget, recordAndMove, setUpBudgets, windowsOf } from '../testing/budget-setup.ts';
import { grantLeases } from './grant.ts';
import { raiseBudget, removeBudget, updateBudget } from './store.ts';

let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'), 3);
});

afterAll(async () => {
  await setup.stop();
});

test('a lease is a slice of the window, until the window ends', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 1_000 });
  const [answer] = await grantLeases(setup.db, [askFor('ing-1', [{ budget: id, need: 10, want: 100 }])], 1);
  expect(answer?.grants).toEqual([
    {
      lease: expect.stringMatching(/^lse_/) as string,
      ...{ budget: id, subject: 'total', amountNanoUsd: 100, ttlMs: 15_000 },
      windowEndsInMs: expect.any(Number) as number,
    },
  ]);
  expect(answer?.grants[0]?.windowEndsInMs).toBeLessThanOrEqual(86_400_000);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 1_000n, spent: 0n, leased: 100n, excess: 0n }]);
});

test.each(['rolling', 'total'] as const)('a lease of a %s budget has no end but its expiry', async (per) => {
  const { id } = await makeBudget(setup.db, { per, ...(per === 'rolling' && { rollingMs: 60_000 }) });
  const [answer] = await grantLeases(setup.db, [askFor('ing-1', [{ budget: id, need: 10 }])], 1);
  expect(answer?.grants).toHaveLength(1);
  expect(answer?.grants[0]).not.toHaveProperty('windowEndsInMs');
});

test('all items are granted, or none; the refusal names the first that has too little', async () => {
  const rich = await makeBudget(setup.db, { amountNanoUsd: 1_000 });
  const poor = await makeBudget(setup.db, { amountNanoUsd: 5, name: 'pocket money', scope: 'team:a' });
  const items = [
    { budget: rich.id, need: 10 },
    { budget: poor.id, subject: 'team:a', need: 10 },
  ];
  const [answer] = await grantLeases(setup.db, [askFor('ing-1', items)], 1);
  expect(answer).toMatchObject({
    grants: [],
    refused: {
      budget: poor.id,
      subject: 'team:a',
      name: 'pocket money',
      limitNanoUsd: 5,
      spentNanoUsd: 0,
      holders: [],
    },
  });
  const midnight = new Date().setUTCHours(24, 0, 0, 0);
  expect(answer?.refused?.renewsEpochMs).toBe(midnight);
  expect(await windowsOf(setup.db, rich.id)).toMatchObject([{ leased: 0n }]);
});

test('who holds a part of it is named, but for the asker', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 100 });
  for (const ingress of ['ing-1', 'ing-2', 'ing-3']) {
    await grantLeases(setup.db, [askFor(ingress, [{ budget: id, need: 30 }])], 1);
  }
  const [answer] = await grantLeases(setup.db, [askFor('ing-2', [{ budget: id, need: 30 }])], 1);
  expect(answer?.refused?.holders).toEqual(['ing-1', 'ing-3']);
});

test('each scope of a pattern has a budget of its own', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'user:*', amountNanoUsd: 10 });
  const ask = (user: string) => askFor('ing-1', [{ budget: id, subject: `user:${user}`, need: 10 }]);
  const answers = await grantLeases(setup.db, [ask('ada'), ask('ada'), ask('bob')], 1);
  expect(answers.map(({ grants }) => grants.length)).toEqual([1, 0, 1]);
});

test('a budget that is gone, soft or for another scope is not leased from', async () => {
  const removed = await makeBudget(setup.db);
  await setup.db.transaction().execute((tx) => removeBudget(tx, removed.id));
  const soft = await makeBudget(setup.db, { isHard: false });
  const other = await makeBudget(setup.db, { scope: 'team:a' });
  const asks = ['bud_none', removed.id, soft.id, other.id].map((budget) => askFor('ing-1', [{ budget, need: 1 }]));
  const answers = await grantLeases(setup.db, asks, 1);
  expect(answers.map(({ refused }) => refused?.isGone)).toEqual([true, true, true, true]);
});

test('a raise counts until its time is over, and a lower amount at once', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 10 });
  const grant = async (need: number): Promise<number> => {
    const [answer] = await grantLeases(setup.db, [askFor('ing-1', [{ budget: id, need }])], 1);
    return answer?.grants.length ?? -1;
  };
  expect(await grant(11)).toBe(0);
  const untilEpochMs = Date.now() + 60_000;
  await setup.db.transaction().execute((tx) => raiseBudget(tx, id, { byNanoUsd: 5, untilEpochMs }));
  expect(await grant(11)).toBe(1);
  const over = new Date(Date.now() - 1);
  await setup.db.updateTable('budgets').set({ raised_until: over }).where('id', '=', id).execute();
  expect(await grant(1)).toBe(0);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 10n, leased: 11n, excess: 1n }]);
  await setup.db.transaction().execute((tx) => updateBudget(tx, id, { amountNanoUsd: 12 }));
  expect(await grant(1)).toBe(1);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 12n, leased: 12n, excess: 0n }]);
});

test('what has left a rolling budget can be leased again, and a refusal says when more will have', async () => {
  const { id } = await makeBudget(setup.db, { per: 'rolling', rollingMs: 60_000, amountNanoUsd: 10 });
  const spend = (costNanoUsd: number, agoMs: number) =>
    recordAndMove(setup.db, [usageEvent({ costNanoUsd, admittedEpochMs: Date.now() - agoMs })]);
  const grant = () => grantLeases(setup.db, [askFor('ing-1', [{ budget: id, need: 5 }])], 1);
  await spend(4, 50_000);
  await spend(6, 10_000);
  const [refusal] = await grant();
  const inMs = (refusal?.refused?.renewsEpochMs ?? 0) - Date.now();
  expect(inMs).toBeGreaterThan(20_000);
  expect(inMs).toBeLessThan(52_000);
  await setup.db
    .updateTable('budget_parts')
    .set({ starts_at: new Date(Date.now() - 61_001) })
    .where('spent_nano_usd', '=', 6n)
    .execute();
  expect((await grant())[0]?.grants).toHaveLength(1);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ spent: 4n, leased: 5n, excess: 0n }]);
});

describe('of many that race for a budget that pays for ten, exactly ten get it', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))('seed %d', async (seed) => {
    const random = seeded(seed);
    const budgets = [
      await makeBudget(setup.db, { amountNanoUsd: 1_009, per: 'total' }),
      await makeBudget(setup.db, { amountNanoUsd: 100_000, per: 'total' }),
    ];
    const asks = Array.from({ length: 60 }, (_, n) => {
      const items = budgets.map(({ id }) => ({ budget: id, need: 100, want: 100 + Math.floor(random() * 100) }));
      return askFor(`ing-${n % 4}`, items);
    });
    const batches: (typeof asks)[] = [];
    while (asks.length > 0) batches.push(asks.splice(0, 1 + Math.floor(random() * 10)));
    const answers = await Promise.all(
      batches.map((batch, n) => {
        const ledger = setup.ledgers[n % setup.ledgers.length] ?? setup.db;
        return grantLeases(ledger, batch, 4);
      }),
    );
    const granted = answers.flat().filter(({ grants }) => grants.length > 0);
    expect(granted).toHaveLength(10);
    expect(leasesOf(answers.flat())).toHaveLength(20);
    expect(await windowsOf(setup.db, budgets[0]?.id ?? '')).toMatchObject([{ leased: 1_000n, excess: 0n }]);
  });
});
