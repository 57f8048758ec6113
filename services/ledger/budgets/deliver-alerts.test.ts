import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { createLog } from '../../../shared/log.ts';
import type { Database } from '../database/schema.ts';
import type { BudgetSetup } from '../testing/budget-setup.ts';
import { makeBudget, recordAndMove, setUpBudgets } from '../testing/budget-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { deliverAlerts } from './deliver-alerts.ts';
import { createBudgetMetrics } from './metrics.ts';
import { updateBudget } from './store.ts';
import type { Webhook } from './webhook.ts';

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const SECRET = 'hunter2';
const log = createLog('silent', 'test');
let setup: BudgetSetup;
let server: Server;
let received: Received[];
/** The next answers; 200 when there is none. */
let statuses: number[];
let webhook: Webhook;

beforeAll(async () => {
  setup = await setUpBudgets(log, 3);
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(statuses.shift() ?? 200).end('never read');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  webhook = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, secret: SECRET };
});

afterAll(async () => {
  server.close();
  await setup.stop();
});

beforeEach(async () => {
  [received, statuses] = [[], []];
  await setup.db.deleteFrom('budget_alerts').execute();
});

function deliver(db: Database = setup.db, webhooks: readonly Webhook[] = [webhook]): Promise<boolean> {
  const metrics = createBudgetMetrics(new Registry());
  return deliverAlerts({ db, clock: systemClock, log, random: () => 0.5, metrics, webhooks });
}

async function spending(costs: readonly number[], fields: Parameters<typeof makeBudget>[1] = {}): Promise<string> {
  const team = crypto.randomUUID();
  const budget = { scope: `team:${team}`, per: 'total' as const, amountNanoUsd: 1_500_000_000, name: 'lab', ...fields };
  const { id } = await makeBudget(setup.db, budget);
  for (const costNanoUsd of costs)
    await recordAndMove(setup.db, [usageEvent({ team, costNanoUsd, admittedEpochMs: Date.now() })]);
  return id;
}

const alerts = async (): Promise<number[]> => {
  const rows = await setup.db.selectFrom('budget_alerts').select('percent').orderBy('percent').execute();
  return rows.map(({ percent }) => percent);
};

/** As if the time of the next try had come. */
const makeDue = () =>
  setup.db
    .updateTable('budget_alerts')
    .set({ next_delivery_at: new Date(Date.now() - 1) })
    .where('delivered_at', 'is', null)
    .execute();

test('each threshold is told of once, whatever is spent beyond it', async () => {
  await spending([700_000_000]);
  expect(await alerts()).toEqual([]);
  await spending([700_000_000, 100_000_000, 10_000_000, 1, 1]);
  expect(await alerts()).toEqual([50]);
  await deliver();
  await deliver();
  expect(received).toHaveLength(1);
});

test('one event that goes over several thresholds raises each of them', async () => {
  await spending([1_600_000_000]);
  expect(await alerts()).toEqual([50, 80, 100]);
});

test('a limit that is lowered to what was spent raises alerts, too', async () => {
  const id = await spending([700_000_000]);
  await setup.db.transaction().execute((tx) => updateBudget(tx, id, { amountNanoUsd: 1_000_000_000 }));
  expect(await alerts()).toEqual([50]);
});

test('what is posted says which budget, whose and how much, signed so that the receiver can check it', async () => {
  const id = await spending([750_000_000], { alertAt: [50] });
  await deliver();
  const [{ headers, body } = { headers: {}, body: '' }] = received;
  expect(JSON.parse(body)).toMatchObject({
    ...{ id: expect.stringMatching(/^[0-9a-f]{32}$/) as string, type: 'budget.threshold_reached', percent: 50 },
    budget: { id, name: 'lab', is_hard: true },
    ...{ spent_usd: '0.75', limit_usd: '1.50', spent_nano_usd: 750_000_000, limit_nano_usd: 1_500_000_000 },
    window_starts_at: null,
  });
  const [, t = '', v1 = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-sluice-signature'])) ?? [];
  expect(v1).toBe(createHmac('sha256', SECRET).update(`${t}.${body}`).digest('hex'));
  expect(Math.abs(Number(t) - Date.now() / 1_000)).toBeLessThan(60);
});

test('a webhook that fails is tried again, later and later, and no other one gets it twice', async () => {
  await spending([750_000_000]);
  const other = { ...webhook, url: `${webhook.url}/other` };
  statuses = [500, 503];
  await deliver(setup.db, [webhook]);
  await deliver(setup.db, [webhook]);
  expect(received).toHaveLength(1);
  await makeDue();
  await deliver(setup.db, [webhook]);
  await makeDue();
  await deliver(setup.db, [webhook, other]);
  expect(received).toHaveLength(4);
  const [row] = await setup.db.selectFrom('budget_alerts').selectAll().execute();
  expect(row).toMatchObject({ deliveries: 3, delivered_at: expect.any(Date) as Date });
  expect(row?.delivered_to).toHaveLength(2);
});

test('one that took it does not get it again while another fails', async () => {
  await spending([750_000_000]);
  const dead = { ...webhook, url: 'http://127.0.0.1:1/hook' };
  await deliver(setup.db, [webhook, dead]);
  await makeDue();
  await deliver(setup.db, [webhook, dead]);
  expect(received).toHaveLength(1);
});

test('after a day it is given up', async () => {
  await spending([750_000_000]);
  statuses = [500];
  const old = new Date(Date.now() - 86_400_001);
  await setup.db.updateTable('budget_alerts').set({ raised_at: old }).execute();
  await deliver();
  const [row] = await setup.db.selectFrom('budget_alerts').selectAll().execute();
  expect(row).toMatchObject({ next_delivery_at: null, delivered_at: null });
});

test('of several ledgers one delivers, and what a dead one had claimed is delivered by another', async () => {
  for (let n = 0; n < 5; n++) await spending([750_000_000]);
  await Promise.all(setup.ledgers.map((ledger) => deliver(ledger)));
  expect(received).toHaveLength(5);
  await setup.db.updateTable('budget_alerts').set({ delivered_at: null, delivered_to: [] }).execute();
  await deliver();
  expect(received).toHaveLength(5);
  await makeDue();
  await deliver();
  expect(received).toHaveLength(10);
});

test('without a webhook the log is told, once', async () => {
  await spending([750_000_000]);
  await deliver(setup.db, []);
  const [row] = await setup.db.selectFrom('budget_alerts').selectAll().execute();
  expect(row).toMatchObject({ deliveries: 1, delivered_at: expect.any(Date) as Date });
});

test('a rolling budget is told of once in each of its lengths', async () => {
  await spending([750_000_000, 1, 1], { per: 'rolling', rollingMs: 3_600_000 });
  const [row] = await setup.db.selectFrom('budget_alerts').selectAll().execute();
  expect(Number(row?.starts_at) % 3_600_000).toBe(0);
});

test('redirects are not followed', async () => {
  await spending([750_000_000]);
  statuses = [302];
  await deliver();
  expect(received).toHaveLength(1);
  const [row] = await setup.db.selectFrom('budget_alerts').selectAll().execute();
  expect(row).toMatchObject({ delivered_at: null });
});
