import { afterAll, beforeAll, expect, test } from 'vitest';
import { seeded } from '../../shared/testing/seeded.ts';
import { windowsOf } from '../support/budget-windows.ts';
import { Deployment } from '../support/deployment.ts';
import { freshDatabase, freshNats } from '../support/fresh.ts';
import type { TestDatabase } from '../support/fresh.ts';
import { TEST_KEY } from '../support/gateway.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import type { TestNats } from '../support/servers.ts';
import { until } from '../support/settled.ts';

/** The whole of it is 20: `SLUICE_RACE_SEEDS=20 npx vitest run test/journey/budget-races.test.ts`. */
const SEEDS = Array.from({ length: Number(process.env['SLUICE_RACE_SEEDS'] ?? 3) }, (_, seed) => seed);
const REQUESTS = 200;
/** Of ten tokens, at a dollar for a million. */
const COST = 10_000;
const PAYS_FOR = 10;

let nats: TestNats;
let database: TestDatabase;
let provider: ScriptedProvider;
let gateway: Deployment;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=10&ttft=20&jitter=100', record: 0 });
  [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
  const names = SEEDS.flatMap((seed) => [`hard-${seed}`, `soft-${seed}`]);
  const price = { input: '0 USD', output: '1 USD' };
  const config = {
    providers: {
      p: { base_url: `${provider.url}/v1`, models: Object.fromEntries(names.map((name) => [name, { price }])) },
    },
    budgets: [
      { scope: 'total', amount: '1000 USD', per: 'month' },
      { scope: 'user:*', amount: '1000 USD', per: { rolling: '24h' } },
      ...names.map((name) => ({
        ...{ scope: `model:p/${name}`, amount: '0.0001 USD', per: 'day', hard: name.startsWith('hard'), name },
      })),
    ],
  };
  gateway = await Deployment.start({
    ...{
      yaml: `providers: ${JSON.stringify(config.providers)}\nbudgets: ${JSON.stringify(config.budgets)}`,
      natsUrl: nats.url,
      databaseUrl: database.url,
    },
    instances: { ledger: 2, router: 1, worker: 1, ingress: 4 },
  });
}, 120_000);

afterAll(async () => {
  await gateway?.stop();
  await provider?.stop();
  await nats?.stop();
  await database?.drop();
});

/** Requests for a model, each at a random moment at a random ingress: how they were answered. */
async function race(model: string, seed: number): Promise<Map<string, number>> {
  const random = seeded(seed);
  const urls = gateway.urls();
  // From all at once to as long as the first attempts take.
  const spreadMs = random() * 150;
  const answers = await Promise.all(
    Array.from({ length: REQUESTS }, async () => {
      const url = urls[Math.floor(random() * urls.length)] ?? '';
      await new Promise((resolve) => setTimeout(resolve, random() * spreadMs));
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TEST_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, max_tokens: 10, messages: [{ role: 'user', content: '?' }] }),
      });
      const { error } = (await response.json()) as { error?: { code: string } };
      return `${response.status} ${error?.code ?? ''}`.trim();
    }),
  );
  return new Map(
    Map.groupBy(answers, (answer) => answer)
      .entries()
      .map(([answer, all]) => [answer, all.length]),
  );
}

const called = (model: string): number =>
  Object.entries(provider.stats().byLabelKeyModel).find(([key]) => key.endsWith(`|${model}`))?.[1].requests ?? 0;

test.each(SEEDS)(
  'of 200 requests over four ingresses exactly those run that a hard budget pays for (seed %i)',
  async (seed) => {
    const answers = await race(`p/hard-${seed}`, seed);
    expect(Object.fromEntries(answers)).toEqual({ '200': PAYS_FOR, '429 budget_exceeded': REQUESTS - PAYS_FOR });
    expect(called(`hard-${seed}`)).toBe(PAYS_FOR);
    let seen: unknown;
    const isSettled = async (): Promise<boolean> => {
      const [window] = await windowsOf(database.url, `model:p/hard-${seed}`);
      seen = window;
      return window?.spent === PAYS_FOR * COST && window.leased === 0 && window.excess === 0;
    };
    await until(isSettled, 30_000, () => JSON.stringify(seen));
  },
  60_000,
);

test.each(SEEDS)(
  'all of 200 requests run that a soft budget pays for, and all are counted (seed %i)',
  async (seed) => {
    expect(Object.fromEntries(await race(`p/soft-${seed}`, seed))).toEqual({ '200': REQUESTS });
    expect(called(`soft-${seed}`)).toBe(REQUESTS);
    let seen: unknown;
    const isCounted = async (): Promise<boolean> => {
      const [window] = await windowsOf(database.url, `model:p/soft-${seed}`);
      seen = window;
      return window?.spent === REQUESTS * COST && window.excess === (REQUESTS - PAYS_FOR) * COST;
    };
    await until(isCounted, 30_000, () => JSON.stringify(seen));
  },
  60_000,
);
