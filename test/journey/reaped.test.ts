import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Deployment, rowsOfModel } from '../support/deployment.ts';
import { freshDatabase, freshNats } from '../support/fresh.ts';
import type { TestDatabase } from '../support/fresh.ts';
import { ask } from '../support/load.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import type { TestNats } from '../support/servers.ts';
import { until } from '../support/settled.ts';

/** Nobody is left who saw an attempt but the provider, and the note that its worker made before the call. */
const REQUESTS = 12;
/** A worker is dead after 10 s without a word, and looked for each 5 s. */
const CLOSED_WITHIN_MS = 60_000;

let nats: TestNats;
let database: TestDatabase;
let provider: ScriptedProvider;
let gateway: Deployment;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'ttft=15000&itl=500&n=100' });
  [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  const models = { endless: { price: { input: '1 USD', output: '2 USD' } } };
  gateway = await Deployment.start({
    yaml: `providers: ${JSON.stringify({ mock: { base_url: `${provider.url}/v1`, models } })}`,
    natsUrl: nats.url,
    databaseUrl: database.url,
    instances: 1,
  });
}, 90_000);

beforeEach(() => gateway.restore(), 90_000);

afterAll(async () => {
  await gateway.stop();
  await Promise.allSettled([nats.stop(), database.drop(), provider.stop()]);
});

test('attempts whose worker and ingress die together are in the account, once each', { timeout: 90_000 }, async () => {
  const url = gateway.urls()[0] ?? '';
  const before = provider.stats().total.requests;
  const asked = Array.from({ length: REQUESTS }, (_, index) =>
    ask(url, { model: 'mock/endless', tokens: 100, stream: index % 2 === 0 }),
  );
  await provider.waitFor(({ total }) => total.requests === before + REQUESTS);
  await Promise.all([gateway.one('worker').kill9(), gateway.one('ingress').kill9()]);
  await Promise.all(asked);
  const rows = (): ReturnType<typeof rowsOfModel> => rowsOfModel(database.url, 'endless');
  const isClosed = async (): Promise<boolean> => (await rows()).length === before + REQUESTS;
  await until(isClosed, CLOSED_WITHIN_MS, () => 'every attempt has a row');
  for (const row of await rows())
    expect(row).toMatchObject({ source: 'reaper', error: 'worker_lost', is_estimated: true, attempt: 1 });
});
