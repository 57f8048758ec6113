import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import { createLog } from '../../../shared/log.ts';
import type { BudgetOver } from '../../../shared/messages/rules.ts';
import { rulesFor } from '../rules/rules.ts';
import { readRevision } from '../rules/revision.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { makeBudget, recordAndMove, setUpBudgets } from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { moveBalances } from './balances.ts';
import { tellCrossings } from './crossings.ts';
import { reapBudgets } from './reap.ts';
import type { BudgetChange, BudgetRecord, NewBudget } from './store.ts';
import { raiseBudget, removeBudget, updateBudget } from './store.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
let setup: BudgetSetup;
let users = 0;

beforeAll(async () => {
  setup = await setUpBudgets(createLog('silent', 'test'), 2);
});

afterAll(async () => {
  await setup.stop();
});

beforeEach(async () => {
  await sql`truncate budgets, budget_windows, budget_leases, budget_crossings`.execute(setup.db);
});

const soft = (more: Partial<NewBudget> = {}): Promise<BudgetRecord> =>
  makeBudget(setup.db, {
    ...{ scope: 'user:*', amountNanoUsd: 100, per: 'day', isHard: false, onLimit: { kind: 'downgrade', to: 'cheap' } },
    ...more,
  });
const aUser = (): string => `user-${++users}`;
const spend = (user: string, costNanoUsd: number, admittedEpochMs = Date.now()): Promise<void> =>
  recordAndMove(setup.db, [usageEvent({ user, costNanoUsd, admittedEpochMs })]);
const update = (id: string, change: BudgetChange): Promise<BudgetRecord> =>
  setup.db.transaction().execute((tx) => updateBudget(tx, id, change));
const raise = (id: string, byNanoUsd: number): Promise<BudgetRecord> =>
  setup.db.transaction().execute((tx) => raiseBudget(tx, id, { byNanoUsd, untilEpochMs: Date.now() + MINUTE }));
const overOf = async (user: string): Promise<readonly BudgetOver[] | undefined> =>
  (await rulesFor(setup.db, [`user:${user}`, 'user:*'])).rules[`user:${user}`]?.over;

/** Whom ingresses are told of. */
async function told(): Promise<string[]> {
  const subjects: string[] = [];
  await tellCrossings(setup.db, ({ standings = [] }) => subjects.push(...standings));
  return subjects.toSorted();
}

describe('a soft budget', () => {
  test('is over for whom has spent all of it, until its window turns, and for nobody else', async () => {
    const { id } = await soft();
    const [ada, bob] = [aUser(), aUser()];
    await spend(ada, 99);
    await spend(bob, 99);
    expect([await overOf(ada), await told()]).toEqual([undefined, []]);
    await spend(ada, 1);
    expect(await overOf(ada)).toEqual([{ budget: id, untilEpochMs: (Math.floor(Date.now() / DAY) + 1) * DAY }]);
    expect(await overOf(bob)).toBeUndefined();
    expect(await told()).toEqual([`user:${ada}`]);
  });

  test('is told of when it comes to its end, and not at each event', async () => {
    await soft();
    const ada = aUser();
    await spend(ada, 200);
    expect(await told()).toEqual([`user:${ada}`]);
    await spend(ada, 200);
    expect(await told()).toEqual([]);
  });

  test.each([
    { what: 'hard', terms: { isHard: true } },
    { what: 'soft and only counted', terms: { onLimit: { kind: 'reject' as const } } },
  ])('that is $what is neither over nor told of', async ({ terms }) => {
    await soft(terms);
    const ada = aUser();
    await spend(ada, 200);
    expect([await overOf(ada), await told()]).toEqual([undefined, []]);
  });

  test('is over no more once its amount is more than what is spent, and is again when the raise ends', async () => {
    const { id } = await soft();
    const ada = aUser();
    await spend(ada, 120);
    await raise(id, 50);
    expect(await overOf(ada)).toBeUndefined();
    await raise(id, 0);
    expect(await overOf(ada)).toHaveLength(1);
    await update(id, { amountNanoUsd: 121 });
    expect(await overOf(ada)).toBeUndefined();
    await update(id, { amountNanoUsd: 120 });
    expect(await overOf(ada)).toHaveLength(1);
    await update(id, { onLimit: { kind: 'reject' } });
    expect(await overOf(ada)).toBeUndefined();
  });

  test('that is taken away is over for nobody', async () => {
    const { id } = await soft();
    const ada = aUser();
    await spend(ada, 120);
    await setup.db.transaction().execute((tx) => removeBudget(tx, id));
    expect(await overOf(ada)).toBeUndefined();
  });

  test('begins anew with its window, and what is spent of a window that is past concerns nobody', async () => {
    await soft();
    const ada = aUser();
    await spend(ada, 120, Date.now() - DAY);
    expect([await overOf(ada), await told()]).toEqual([undefined, []]);
  });

  test('has room again when a correction makes it cheaper', async () => {
    await soft();
    const ada = aUser();
    await spend(ada, 120);
    await told();
    const correction = usageEvent({ user: ada, costNanoUsd: -50, admittedEpochMs: Date.now() });
    await setup.db.transaction().execute((tx) => moveBalances(tx, [correction]));
    expect([await overOf(ada), await told()]).toEqual([undefined, [`user:${ada}`]]);
  });

  test('that rolls is over until so much has left it that there is room', async () => {
    const { id } = await soft({ per: 'rolling', rollingMs: MINUTE });
    const ada = aUser();
    await spend(ada, 120);
    expect([await overOf(ada), await told()]).toEqual([[{ budget: id }], [`user:${ada}`]]);
    const left = new Date(Date.now() - MINUTE - 1_001);
    await setup.db.updateTable('budget_parts').set({ starts_at: left }).where('budget_id', '=', id).execute();
    await reapBudgets(setup.db, 0);
    expect([await overOf(ada), await told()]).toEqual([undefined, [`user:${ada}`]]);
  });

  test('of nothing is over before anything is spent, and in every window', async () => {
    const { id } = await soft({ amountNanoUsd: 0 });
    const ada = aUser();
    expect(await overOf(ada)).toEqual([{ budget: id }]);
    await spend(ada, 1);
    expect(await overOf(ada)).toEqual([{ budget: id }]);
    await raise(id, 50);
    expect(await overOf(ada)).toBeUndefined();
  });

  test('of one scope by name is over for that one', async () => {
    const { id } = await soft({ scope: 'total', onLimit: { kind: 'queue', forMs: 5 }, per: 'total' });
    await spend(aUser(), 100);
    const { rules, standings } = await rulesFor(setup.db, ['total']);
    expect(rules['total']).toMatchObject({ budgets: [{ id }], over: [{ budget: id }] });
    expect([standings, await told()]).toEqual([[], ['total']]);
  });
});

test('whom to ask by name is told: of the kinds with a pattern that may be over', async () => {
  const standings = async (): Promise<readonly string[] | undefined> => (await rulesFor(setup.db, [])).standings;
  await soft({ scope: 'team:*', isHard: true });
  await soft({ scope: 'key:*', onLimit: { kind: 'reject' } });
  await soft({ scope: 'model:m' });
  expect(await standings()).toEqual([]);
  const { id } = await soft();
  expect(await standings()).toEqual(['user']);
  await update(id, { isHard: true });
  expect(await standings()).toEqual([]);
});

test('each is told of once, whoever of several ledgers does, and the revision rises with it', async () => {
  await soft();
  const names = Array.from({ length: 20 }, aUser);
  await recordAndMove(
    setup.db,
    names.map((user) => usageEvent({ user, costNanoUsd: 100, admittedEpochMs: Date.now() })),
  );
  const before = await readRevision(setup.db);
  const subjects: string[] = [];
  const revisions: bigint[] = [];
  const tell = (db: BudgetSetup['db']): Promise<boolean> =>
    tellCrossings(db, ({ revision, standings = [] }) => {
      subjects.push(...standings);
      revisions.push(revision);
    });
  expect(await Promise.all(setup.ledgers.map(tell))).toEqual([false, false]);
  expect(subjects.toSorted()).toEqual(names.map((user) => `user:${user}`).toSorted());
  expect(new Set(revisions)).toEqual(new Set(revisions.map((_, index) => before + BigInt(index + 1))));
  expect(await setup.db.selectFrom('budget_crossings').selectAll().execute()).toEqual([]);
});
