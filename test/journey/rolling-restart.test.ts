import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Role } from '../../shared/subjects.ts';
import { Deployment } from '../support/deployment.ts';
import { freshDatabase, freshNats } from '../support/fresh.ts';
import type { TestDatabase } from '../support/fresh.ts';
import { isServed, Load, summary } from '../support/load.ts';
import type { Outcome } from '../support/load.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { reconcile } from '../support/reconcile.ts';
import type { TestNats } from '../support/servers.ts';

/** Every service is replaced under load, instance by instance, as an orchestrator does it: nobody may notice. */
const TOKENS = 10;
const ROLES: readonly Role[] = ['worker', 'router', 'ledger', 'ingress'];

/** Of each role, also those of a try that failed. */
const accounts = new Map<Role, Outcome[]>(ROLES.map((role) => [role, []]));

let nats: TestNats;
let database: TestDatabase;
let provider: ScriptedProvider;
let gateway: Deployment;

beforeAll(async () => {
  provider = await startProvider({ defaults: `n=${TOKENS}&ttft=40&itl=25&ts=1`, record: 100_000 });
  [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  const models = Object.fromEntries(ROLES.map((role) => [role, { price: { input: '1 USD', output: '2 USD' } }]));
  gateway = await Deployment.start({
    yaml: `providers: ${JSON.stringify({ mock: { base_url: `${provider.url}/v1`, models } })}`,
    natsUrl: nats.url,
    databaseUrl: database.url,
  });
}, 90_000);

beforeEach(() => gateway.restore(), 90_000);

afterAll(async () => {
  await gateway.stop();
  await Promise.allSettled([nats.stop(), database.drop(), provider.stop()]);
});

test.each(ROLES)('no request notices that each %s is replaced', { timeout: 60_000 }, async (role) => {
  // A load balancer sends nothing more to an ingress that is about to stop.
  let stopping = '';
  const urls = (): string[] => gateway.urls().filter((url) => url !== stopping);
  const load = Load.start({ urls, model: `mock/${role}`, tokens: TOKENS });
  try {
    await load.served(24);
    for (const old of gateway.all(role)) {
      await gateway.add(role);
      await gateway.untilWhole();
      await load.served(12);
      stopping = old.url;
      expect(await old.term()).toBe('exit code 0');
      await load.served(24);
    }
  } finally {
    accounts.get(role)?.push(...(await load.stop()));
  }
  const { outcomes, moved } = load;
  const { rows, providerRequests, faults } = await reconcile(
    { upstreamModel: role, outcomes: accounts.get(role) ?? [] },
    { databaseUrl: database.url, provider },
  );
  process.stdout.write(
    `${role} replaced: ${summary(outcomes)}, ${moved} sent to another ingress; ${rows} rows, ${providerRequests} provider requests\n`,
  );
  expect(outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
  expect(faults).toEqual([]);
});

test('an ingress that is asked to stop while clients keep their connections serves what it has taken', async () => {
  const old = gateway.one('ingress');
  await gateway.add('ingress');
  await gateway.untilWhole();
  const load = Load.start({ urls: () => gateway.urls(), model: 'mock/ingress', tokens: TOKENS });
  try {
    await load.served(24);
    await old.term();
    await load.served(24);
  } finally {
    await load.stop();
  }
  process.stdout.write(
    `ingress stopped unannounced: ${summary(load.outcomes)}, ${load.moved} sent to another ingress\n`,
  );
  expect(load.outcomes.filter((outcome) => !isServed(outcome))).toEqual([]);
});
