import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { createLog } from '../../../shared/log.ts';
import type { LeaseAsk, LeaseReport } from '../../../shared/messages/lease.ts';
import { LeaseAnswer, LeaseReportAnswer } from '../../../shared/messages/lease.ts';
import { ledgerSubject } from '../../../shared/subjects.ts';
import type { Ledger } from '../main.ts';
import { startLedger } from '../main.ts';
import { askFor, expire, makeBudget, windowsOf } from '../testing/budget-setup.ts';
import { until } from '../testing/counts.ts';
import type { LedgerSetup } from '../testing/ledger-setup.ts';
import { setUpLedger } from '../testing/ledger-setup.ts';
import { publishEvents } from '../testing/publish.ts';
import { TEST_SECRET } from '../testing/secret.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { listBudgets } from './store.ts';

const log = createLog('silent', 'test');
/** Of each ledger: who answers is chance. */
const registries = [new Registry(), new Registry()];
let setup: LedgerSetup;
let ledgers: Ledger[];

beforeAll(async () => {
  setup = await setUpLedger(log);
  const budget = {
    ...{ id: 'config:1', name: 'n', scope: 'total', amountNanoUsd: 10, per: 'day' as const, rollingMs: null },
    ...{ timeZone: 'UTC', isHard: true, onLimit: { kind: 'reject' as const }, alertAt: [] },
  };
  const start = async (registry: Registry): Promise<Ledger> => {
    const shared = { databaseUrl: setup.database.url, secret: TEST_SECRET, clock: systemClock, log, budgets: [budget] };
    return startLedger({ ...shared, bus: await setup.connect(), registry });
  };
  ledgers = await Promise.all(registries.map(start));
});

afterAll(async () => {
  await Promise.all(ledgers.map((ledger) => ledger.stop()));
  await setup.stop();
});

async function sumOf(metric: string): Promise<number> {
  let sum = 0;
  for (const registry of registries) sum += (await registry.getSingleMetric(metric)?.get())?.values[0]?.value ?? 0;
  return sum;
}

const ask = (question: LeaseAsk) => setup.bus.request(ledgerSubject('lease'), question, LeaseAnswer, 5_000);
const report = (question: LeaseReport) =>
  setup.bus.request(ledgerSubject('leases'), question, LeaseReportAnswer, 5_000);

test('a ledger begins with the budgets of the configuration', async () => {
  expect((await listBudgets(setup.db)).map(({ id }) => id)).toContain('config:1');
});

test('ingresses lease, report and give back, whichever ledger they reach', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 100 });
  const { grants } = await ask(askFor('ing-1', [{ budget: id, need: 60 }]));
  expect(await ask(askFor('ing-2', [{ budget: id, need: 60 }]))).toMatchObject({ refused: { holders: ['ing-1'] } });
  const lease = grants[0]?.lease ?? '';
  const answer = await report({ v: 1, ingress: 'ing-1', leases: [{ lease, keep: 10, isClosed: false }] });
  expect(answer).toEqual({ v: 1, lost: [], ttlMs: 15_000 });
  expect((await ask(askFor('ing-2', [{ budget: id, need: 60 }]))).grants).toHaveLength(1);
});

test('of two hundred asks that race for a budget that pays for ten, exactly ten are granted', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 105 });
  const asks = Array.from({ length: 200 }, (_, n) => ask(askFor(`ing-${n % 4}`, [{ budget: id, need: 10, want: 50 }])));
  const answers = await Promise.all(asks);
  expect(answers.filter(({ grants }) => grants.length > 0)).toHaveLength(10);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ leased: 100n, excess: 0n }]);
});

test('what events say was spent is moved out of their leases, and what is beyond the limit is counted', async () => {
  const { id } = await makeBudget(setup.db, { scope: 'team:spending', amountNanoUsd: 100, alertAt: [50] });
  const { grants } = await ask(askFor('ing-1', [{ budget: id, subject: 'team:spending', need: 60 }]));
  const leases = grants.map(({ lease }) => lease);
  const event = usageEvent({ team: 'spending', costNanoUsd: 45, leases, admittedEpochMs: Date.now() });
  await publishEvents(setup.bus, [
    event,
    event,
    usageEvent({ team: 'spending', admittedEpochMs: Date.now(), costNanoUsd: 50 }),
  ]);
  await until('recorded', async () => (await windowsOf(setup.db, id))[0]?.spent === 95n);
  expect(await windowsOf(setup.db, id)).toMatchObject([{ limit: 100n, spent: 95n, leased: 15n, excess: 10n }]);
  const alert = () => setup.db.selectFrom('budget_alerts').selectAll().where('budget_id', '=', id).executeTakeFirst();
  await until('told of', async () => (await alert())?.delivered_at instanceof Date);
  expect(await alert()).toMatchObject({ percent: 50, subject: 'team:spending', deliveries: 1 });
});

test('what an ingress that died had reserved returns by itself, and is counted', async () => {
  const { id } = await makeBudget(setup.db, { amountNanoUsd: 100 });
  const { grants } = await ask(askFor('ing-dead', [{ budget: id, need: 60 }]));
  await expire(setup.db, grants[0]?.lease ?? '', 60_000);
  await until('returned', async () => (await windowsOf(setup.db, id))[0]?.leased === 0n, 60_000);
  expect(await sumOf('sluice_ledger_leases_granted_total')).toBeGreaterThan(0);
  expect(await sumOf('sluice_ledger_leases_refused_total')).toBeGreaterThan(0);
}, 70_000);
