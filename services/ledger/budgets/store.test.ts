import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BudgetConfig } from '../../../shared/config.ts';
import { createLog } from '../../../shared/log.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { makeBudget, recordAndMove, setUpBudgets, windowsOf } from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { keepConfigured } from './configured.ts';
import { budgetState } from './state.ts';
import type { BudgetRecord, NewBudget } from './store.ts';
import { createBudget, getBudget, listBudgets, raiseBudget, removeBudget, updateBudget } from './store.ts';

let setup: BudgetSetup;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'), 3);
});

afterAll(async () => {
  await setup.stop();
});

const revision = async (): Promise<bigint | undefined> =>
  (await setup.db.selectFrom('revisions').select('revision').executeTakeFirst())?.revision;

test('a budget is made with every default, and read as it was made', async () => {
  const before = (await revision()) ?? 0n;
  const made = await makeBudget(setup.db, { scope: 'team:a', amountNanoUsd: 5, per: 'month' });
  expect(made).toMatchObject({
    ...{ name: 'team:a per month', scope: 'team:a', amountNanoUsd: 5, per: 'month', rollingMs: null },
    ...{ timeZone: 'UTC', isHard: true, onLimit: { kind: 'reject' }, alertAt: [50, 80, 100] },
    ...{ raisedByNanoUsd: 0, raisedUntilEpochMs: null, isConfigured: false, version: 1 },
  });
  expect(await getBudget(setup.db, made.id)).toEqual(made);
  expect(await revision()).toBe(before + 1n);
});

test('everything of a budget is kept', async () => {
  const budget: NewBudget = {
    ...{ name: 'lab', scope: 'tag:env=lab', amountNanoUsd: 7, per: 'rolling', rollingMs: 86_400_000 },
    ...{ timeZone: 'Europe/Berlin', isHard: false, onLimit: { kind: 'downgrade', to: 'cheap' }, alertAt: [90, 10, 90] },
  };
  const made = await makeBudget(setup.db, budget);
  expect(await getBudget(setup.db, made.id)).toMatchObject({ ...budget, alertAt: [10, 90] });
});

describe('what is no budget is refused, by the field at fault', () => {
  test.each([
    ['scope', { scope: 'team' }],
    ['scope', { scope: 'planet:earth' }],
    ['amountNanoUsd', { amountNanoUsd: -1 }],
    ['amountNanoUsd', { amountNanoUsd: 1.5 }],
    ['amountNanoUsd', { amountNanoUsd: 9_000_000_000_000_001 }],
    ['per', { per: 'year' as 'day' }],
    ['rollingMs', { per: 'rolling' as const }],
    ['rollingMs', { per: 'rolling' as const, rollingMs: 1 }],
    ['rollingMs', { rollingMs: 86_400_000 }],
    ['timeZone', { timeZone: 'Mars' }],
    ['alertAt', { alertAt: [0] }],
    ['alertAt', { alertAt: Array.from({ length: 17 }, (_, n) => n + 1) }],
    ['onLimit', { onLimit: { kind: 'shrug' } as unknown as { kind: 'reject' } }],
    ['name', { name: '' }],
    ['name', { name: 'a\nb' }],
  ])('%s: %j', async (param, fields) => {
    await expect(makeBudget(setup.db, fields)).rejects.toMatchObject({ code: 'invalid_request', param });
  });
});

test('a page lists those that hold, from where the last one ended', async () => {
  const scope = 'user:paging';
  const made: BudgetRecord[] = [];
  for (let n = 0; n < 5; n++) made.push(await makeBudget(setup.db, { scope }));
  await setup.db.transaction().execute((tx) => removeBudget(tx, made[1]?.id ?? ''));
  const first = await listBudgets(setup.db, { scope, limit: 2 });
  const rest = await listBudgets(setup.db, { scope, after: first[1]?.id });
  expect([...first, ...rest].map(({ id }) => id)).toEqual([0, 2, 3, 4].map((n) => made[n]?.id));
});

test('a change changes what it names, and its version', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'user:change', amountNanoUsd: 10 });
  const change = (fields: Parameters<typeof updateBudget>[2], ifVersion?: number) =>
    setup.db.transaction().execute((tx) => updateBudget(tx, id, fields, ifVersion));
  expect(await change({ name: 'new', alertAt: [5] })).toMatchObject({ name: 'new', amountNanoUsd: 10, version: 2 });
  expect(await change({ isHard: false }, 2)).toMatchObject({ name: 'new', isHard: false, alertAt: [5], version: 3 });
  await expect(change({ isHard: true }, 2)).rejects.toMatchObject({ code: 'precondition_failed' });
  await expect(change({ amountNanoUsd: -1 })).rejects.toMatchObject({
    code: 'invalid_request',
    param: 'amountNanoUsd',
  });
});

test('a raise comes on top of the amount, and its end is in the future', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'user:raise', amountNanoUsd: 10 });
  const raise = (byNanoUsd: number, untilEpochMs: number) =>
    setup.db.transaction().execute((tx) => raiseBudget(tx, id, { byNanoUsd, untilEpochMs }));
  const soon = Date.now() + 60_000;
  expect(await raise(5, soon)).toMatchObject({ amountNanoUsd: 10, raisedByNanoUsd: 5, raisedUntilEpochMs: soon });
  expect(await budgetState(setup.db, id)).toMatchObject([{ limitNanoUsd: 15n }]);
  await expect(raise(5, Date.now() - 1)).rejects.toMatchObject({ param: 'untilEpochMs' });
  await expect(raise(9_000_000_000_000_000, soon)).rejects.toMatchObject({ param: 'byNanoUsd' });
  expect(await raise(0, soon)).toMatchObject({ raisedByNanoUsd: 0, raisedUntilEpochMs: null });
});

test.each(['get', 'update', 'remove', 'raise', 'state'] as const)('of no budget: %s', async (what) => {
  const { db } = setup;
  const raise = { byNanoUsd: 1, untilEpochMs: Date.now() + 1_000 };
  const calls = {
    get: () => getBudget(db, 'bud_none'),
    update: () => db.transaction().execute((tx) => updateBudget(tx, 'bud_none', {})),
    remove: () => db.transaction().execute((tx) => removeBudget(tx, 'bud_none')),
    raise: () => db.transaction().execute((tx) => raiseBudget(tx, 'bud_none', raise)),
    state: () => budgetState(db, 'bud_none'),
  };
  await expect(calls[what]()).rejects.toMatchObject({ code: 'not_found' });
});

test('the state of a budget is that of its current windows, used or not', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'user:state', amountNanoUsd: 10 });
  const midnight = new Date().setUTCHours(24, 0, 0, 0);
  const unused = { limitNanoUsd: 10n, spentNanoUsd: 0n, leasedNanoUsd: 0n, excessNanoUsd: 0n };
  const current = { subject: 'user:state', startsEpochMs: midnight - 86_400_000, renewsEpochMs: midnight };
  expect(await budgetState(setup.db, id)).toEqual([{ ...current, ...unused }]);
  const spend = (costNanoUsd: number, admittedEpochMs: number) =>
    recordAndMove(setup.db, [usageEvent({ user: 'state', costNanoUsd, admittedEpochMs })]);
  await spend(3, Date.now() - 2 * 86_400_000);
  await spend(4, Date.now());
  expect(await budgetState(setup.db, id)).toEqual([{ ...current, ...unused, spentNanoUsd: 4n }]);
});

test('a pattern has a state for each that used it, by pages', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'user:*', amountNanoUsd: 10, per: 'total' });
  expect(await budgetState(setup.db, id)).toEqual([]);
  await recordAndMove(
    setup.db,
    ['a', 'b', 'c'].map((user) => usageEvent({ user, costNanoUsd: 1 })),
  );
  expect((await budgetState(setup.db, id, { limit: 2 })).map(({ subject }) => subject)).toEqual(['user:a', 'user:b']);
  expect((await budgetState(setup.db, id, { after: 'user:b' })).map(({ subject }) => subject)).toEqual(['user:c']);
  expect(await budgetState(setup.db, id, { subject: 'user:c' })).toMatchObject([{ spentNanoUsd: 1n }]);
  expect(await budgetState(setup.db, id, { subject: 'user:z' })).toMatchObject([
    { spentNanoUsd: 0n, startsEpochMs: null },
  ]);
  await setup.db.transaction().execute((tx) => removeBudget(tx, id));
});

test('a change that fails leaves nothing behind', async () => {
  const scope = 'user:rollback';
  const failing = setup.db.transaction().execute(async (tx) => {
    await createBudget(tx, { scope, amountNanoUsd: 1, per: 'day' });
    throw new Error('after it');
  });
  await expect(failing).rejects.toThrow('after it');
  expect(await listBudgets(setup.db, { scope })).toEqual([]);
});

describe('budgets of the configuration file', () => {
  const configured = (overrides: Partial<BudgetConfig> = {}): BudgetConfig => ({
    ...{ id: 'config:1', name: 'n', scope: 'feature:configured', amountNanoUsd: 10, per: 'day', rollingMs: null },
    ...{ timeZone: 'UTC', isHard: true, onLimit: { kind: 'queue', forMs: 5 }, alertAt: [50] },
    ...overrides,
  });
  const list = () => listBudgets(setup.db, { scope: 'feature:configured' });

  test('are made once, by whichever ledger comes first, and changed when the file does', async () => {
    await Promise.all(setup.ledgers.map((ledger) => keepConfigured(ledger, [configured()])));
    const [made] = await list();
    expect(made).toMatchObject({ ...configured(), isConfigured: true });
    const before = await revision();
    await keepConfigured(setup.db, [configured()]);
    expect(await revision()).toBe(before);
    await recordAndMove(setup.db, [
      usageEvent({ feature: 'configured', costNanoUsd: 15, admittedEpochMs: Date.now() }),
    ]);
    await keepConfigured(setup.db, [configured({ amountNanoUsd: 20 }), configured({ id: 'config:2', per: 'total' })]);
    expect((await list()).map(({ id, amountNanoUsd }) => [id, amountNanoUsd])).toEqual([
      ['config:1', 20],
      ['config:2', 10],
    ]);
    expect(await windowsOf(setup.db, 'config:1')).toMatchObject([{ limit: 20n, spent: 15n, excess: 0n }]);
  });

  test('are not changed by others, but raised', async () => {
    const [{ id } = configured()] = await list();
    const run = (what: 'update' | 'remove') =>
      setup.db.transaction().execute((tx) => (what === 'update' ? updateBudget(tx, id, {}) : removeBudget(tx, id)));
    await expect(run('update')).rejects.toMatchObject({ code: 'conflict' });
    await expect(run('remove')).rejects.toMatchObject({ code: 'conflict' });
    const raise = { byNanoUsd: 5, untilEpochMs: Date.now() + 60_000 };
    await setup.db.transaction().execute((tx) => raiseBudget(tx, id, raise));
    await keepConfigured(setup.db, [configured({ amountNanoUsd: 30 })]);
    expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 35n, spent: 15n }]);
  });

  test('hold no longer when the file has them no more, and go on where they were when they come back', async () => {
    await keepConfigured(setup.db, []);
    expect(await list()).toEqual([]);
    await keepConfigured(setup.db, [configured()]);
    expect(await windowsOf(setup.db, 'config:1')).toMatchObject([{ limit: 15n, spent: 15n }]);
    await keepConfigured(setup.db, []);
  });
});
