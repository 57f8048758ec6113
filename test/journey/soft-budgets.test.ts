import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { withConnection } from '../../infra/servers/postgres-database.ts';
import { raiseBudget } from '../../services/ledger/budgets/store.ts';
import { openDatabase } from '../../services/ledger/database/database.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { createLog } from '../../shared/log.ts';
import { windowsOf } from '../support/budget-windows.ts';
import type { TestGateway } from '../support/gateway.ts';
import { startTestGateway } from '../support/gateway.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { until } from '../support/settled.ts';

/** A dollar for a million tokens of output and nothing for input: ten tokens are 10,000 nano-dollars. */
const PRICE = '{ price: { input: 0 USD, output: 1 USD } }';
const HOUR = 3_600_000;

let provider: ScriptedProvider;
let gateway: TestGateway;
let db: Database;
/** Each test has features of its own. */
let features = 0;
let feature = '';

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=10', record: 1_000 });
  gateway = await startTestGateway({
    yaml: `
providers:
  p:
    base_url: "${provider.url}/v1"
    models: { dear: ${PRICE}, cheap: ${PRICE}, patient: ${PRICE}, listed: ${PRICE} }
routes:
  saver: { targets: [p/cheap] }
budgets:
  - { scope: "feature:*", amount: 0.00002 USD, per: day, hard: false, on_limit: { downgrade: saver }, name: each }
  - { scope: "model:p/patient", amount: 0.00001 USD, per: total, hard: false, on_limit: { queue: 30s }, name: patience }
  - { scope: "model:p/listed", amount: 0.00001 USD, per: day, hard: false }`,
  });
  db = openDatabase({ url: gateway.databaseUrl, log: createLog('silent', 'test') });
});

afterAll(async () => {
  await db.destroy();
  await gateway.stop();
  await provider.stop();
});

beforeEach(() => {
  feature = `feature-${++features}`;
});

function ask(name: string, of = feature): Promise<Response> {
  const body = { model: name, messages: [{ role: 'user', content: '?' }], max_tokens: 10 };
  return gateway.post('/v1/chat/completions', body, { headers: { 'x-sluice-feature': of } });
}

/** The route that a request was downgraded to; null: none. */
async function downgradeOf(of = feature): Promise<string | null> {
  const response = await ask('p/dear', of);
  expect(response.status).toBe(200);
  const to = response.headers.get('x-sluice-downgraded-to');
  expect(response.headers.get('x-sluice-deployment')).toBe(to === null ? 'p/dear' : 'p/cheap');
  return to;
}

async function untilDowngraded(of = feature): Promise<void> {
  await until(
    async () => (await downgradeOf(of)) === 'saver',
    20_000,
    () => 'served by the other route',
  );
}

const raise = async (name: string): Promise<void> => {
  const { id } = await db.selectFrom('budgets').select('id').where('name', '=', name).executeTakeFirstOrThrow();
  const more = { byNanoUsd: 1_000_000_000, untilEpochMs: Date.now() + HOUR };
  await db.transaction().execute((tx) => raiseBudget(tx, id, more));
};
const endRaise = async (name: string): Promise<void> => {
  const { id } = await db.selectFrom('budgets').select('id').where('name', '=', name).executeTakeFirstOrThrow();
  await db.transaction().execute((tx) => raiseBudget(tx, id, { byNanoUsd: 0, untilEpochMs: 0 }));
};

describe('a soft budget that is spent', () => {
  test('has the other route serve, and only whom it is spent for', async () => {
    expect([await downgradeOf(), await downgradeOf()]).toEqual([null, null]);
    await untilDowngraded();
    expect(await downgradeOf(`${feature}-other`)).toBeNull();
    const asIs = await ask('saver');
    expect([asIs.status, asIs.headers.get('x-sluice-downgraded-to')]).toEqual([200, null]);
  });

  test('has it also where the message of it was lost: a beat tells that there was one', async () => {
    expect(await downgradeOf()).toBeNull();
    // As by a ledger that died when it had committed.
    await until(
      () =>
        withConnection(gateway.databaseUrl, async (client) => {
          const spent = await client.query(
            'update budget_windows set spent_nano_usd = limit_nano_usd where subject = $1',
            [`feature:${feature}`],
          );
          return spent.rowCount === 1;
        }),
      20_000,
      () => 'a window that something is spent of',
    );
    expect(await downgradeOf()).toBeNull();
    await withConnection(gateway.databaseUrl, (client) => client.query('update revisions set revision = revision + 1'));
    await untilDowngraded();
  });

  test('has requests served as they ask once it is raised', async () => {
    await untilDowngraded();
    await raise('each');
    await until(
      async () => (await downgradeOf()) === null,
      20_000,
      () => 'served as it asked',
    );
    await endRaise('each');
    await untilDowngraded();
  });

  test('keeps requests waiting where it says so, until there is room', async () => {
    const sent = (): number => provider.requests().filter(({ body }) => body.toString().includes('patient')).length;
    let waiting: Promise<Response> | undefined;
    // The first ones come before the ledger has counted. No other budget of theirs is spent: that would have its way.
    let asks = 0;
    await until(
      async () => {
        waiting = ask('p/patient', `${feature}-${++asks}`);
        const isServed = await Promise.race([
          waiting.then(() => true),
          new Promise<false>((resolve) => setTimeout(() => resolve(false), 2_000)),
        ]);
        return !isServed;
      },
      20_000,
      () => 'a request that waits',
    );
    const before = sent();
    await raise('patience');
    expect((await waiting)?.status).toBe(200);
    expect(sent()).toBe(before + 1);
  }, 40_000);

  test('is only counted where it says nothing else', async () => {
    const served = async (of: string): Promise<void> => {
      const response = await ask('p/listed', of);
      expect([response.status, response.headers.get('x-sluice-deployment')]).toEqual([200, 'p/listed']);
    };
    await served(`${feature}-1`);
    await until(
      async () => (await windowsOf(gateway.databaseUrl, 'model:p/listed'))[0]?.spent === 10_000,
      20_000,
      () => 'all of it is spent',
    );
    await served(`${feature}-2`);
  });

  test('refuses nobody while the ledger is away, whoever it is', async () => {
    await untilDowngraded();
    await gateway.services.ledger.stop();
    expect(await downgradeOf()).toBe('saver');
    expect(await downgradeOf(`${feature}-new`)).toBeNull();
  });
});
