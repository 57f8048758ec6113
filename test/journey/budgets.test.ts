import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runLedger } from '../../infra/services.ts';
import { Registry } from 'prom-client';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import { windowsOf } from '../support/budget-windows.ts';
import type { TestGateway } from '../support/gateway.ts';
import { startTestGateway } from '../support/gateway.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';
import { until } from '../support/settled.ts';
import { readUntil } from '../support/sse.ts';

/** A dollar for a million tokens of output and nothing for input: ten tokens are 10,000 nano-dollars. */
const PRICE = '{ price: { input: 0 USD, output: 1 USD } }';
const model = (name: string): string => `${name}: ${PRICE}`;

let provider: ScriptedProvider;
let gateway: TestGateway;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=10', record: 1_000 });
  gateway = await startTestGateway({
    yaml: `
providers:
  p:
    base_url: "${provider.url}/v1"
    models: { ${['two', 'plenty', 'cheap', 'out', 'waits', 'away', 'soft', 'once'].map(model).join(', ')}, nobody-knows: {} }
  streaming:
    base_url: "${provider.url}/m/n=100000&itl=5/v1"
    models: { ${model('endless')} }
  failing:
    base_url: "${provider.url}/m/seq=500/v1"
    breaker: off
    models: { ${model('broken')} }
routes:
  saver: { targets: [p/cheap] }
  any: { targets: [p/nobody-knows, p/plenty], strategy: ordered }
  retried: { targets: [failing/broken, p/once], strategy: ordered }
budgets:
  - { scope: "model:p/two", amount: 0.000025 USD, per: day, name: two a day }
  - { scope: "model:p/plenty", amount: 1 USD, per: day }
  - { scope: "model:p/out", amount: 0 USD, per: month, on_limit: { downgrade: saver } }
  - { scope: "model:p/waits", amount: 0.00001 USD, per: day, on_limit: { queue: 20s } }
  - { scope: "model:p/away", amount: 0.0001 USD, per: total }
  - { scope: "model:p/soft", amount: 0.00001 USD, per: day, hard: false }
  - { scope: "model:streaming/endless", amount: 1 USD, per: day }
  - { scope: "route:any", amount: 1 USD, per: day }
  - { scope: "model:p/nobody-knows", amount: 1 USD, per: day }
  - { scope: "route:retried", amount: 0.00001 USD, per: day }`,
  });
});

afterAll(async () => {
  await gateway.stop();
  await provider.stop();
});

function ask(name: string, fields: object = { max_tokens: 10 }, init: RequestInit = {}): Promise<Response> {
  const body = { model: name, messages: [{ role: 'user', content: '?' }], ...fields };
  return gateway.post('/v1/chat/completions', body, init);
}

/** Waits until the window of the budget for this model satisfies the predicate. */
async function window(name: string, isSo: (state: { spent: number; leased: number }) => boolean): Promise<void> {
  let seen: unknown;
  const look = async (): Promise<boolean> => {
    const [state] = await windowsOf(gateway.databaseUrl, `model:${name}`);
    seen = state;
    return state !== undefined && isSo(state);
  };
  await until(look, 20_000, () => JSON.stringify(seen));
}

const sentFor = (name: string): unknown[] =>
  provider
    .requests()
    .filter(({ method }) => method === 'POST')
    .map(({ body }) => JSON.parse(body.toString()) as { model: string })
    .filter((body) => body.model === name);

describe('a hard budget', () => {
  test('is spent, and then refuses, and says which it is, whose, and when it renews', async () => {
    expect([(await ask('p/two')).status, (await ask('p/two')).status]).toEqual([200, 200]);
    const response = await ask('p/two');
    const { error } = (await response.json()) as { error: Record<string, string> };
    expect({ status: response.status, retry: response.headers.get('x-should-retry'), error }).toMatchObject({
      status: 429,
      retry: 'false',
      error: { type: 'insufficient_quota', code: 'budget_exceeded' },
    });
    expect(error['message']).toMatch(
      /"two a day" of model:p\/two .*\$0\.00002\d? of \$0\.000025 are spent or reserved.*renews at \d{4}-/s,
    );
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(sentFor('two')).toHaveLength(2);
    // There is still enough for less.
    expect((await ask('p/two', { max_tokens: 5 })).status).toBe(200);
    await window('p/two', ({ spent }) => spent === 25_000);
  });

  test('has the provider told how many tokens it covers, where the client says nothing', async () => {
    expect((await ask('p/plenty', {})).status).toBe(200);
    expect(sentFor('plenty').at(-1)).toMatchObject({ max_tokens: 4_096 });
    expect((await ask('p/cheap', {})).status).toBe(200);
    expect(sentFor('cheap').at(-1)).not.toHaveProperty('max_tokens');
  });

  test('that is used up has another route serve, which is named', async () => {
    const response = await ask('p/out');
    expect(response.status).toBe(200);
    expect(response.headers.get('x-sluice-downgraded-to')).toBe('saver');
    expect(response.headers.get('x-sluice-deployment')).toBe('p/cheap');
    expect(await response.json()).toMatchObject({ model: 'p/out' });
    expect(sentFor('out')).toHaveLength(0);
  });

  test('lets a request wait where it says so, until somebody gives money back', async () => {
    const abort = new AbortController();
    provider.configure('n=10&ttft=60000');
    const first = ask('p/waits', { max_tokens: 10, stream: true }, { signal: abort.signal }).catch(() => undefined);
    await until(
      () => Promise.resolve(sentFor('waits').length === 1),
      5_000,
      () => 'the first is under way',
    );
    provider.configure('n=2');
    const second = ask('p/waits', { max_tokens: 2 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sentFor('waits')).toHaveLength(1);
    abort.abort();
    await first;
    expect((await second).status).toBe(200);
    provider.configure('');
  }, 40_000);

  test('pays for nobody without a price, and has those with one serve', async () => {
    expect(await (await ask('p/nobody-knows')).json()).toMatchObject({ error: { code: 'price_unknown' } });
    const response = await ask('any');
    expect(response.headers.get('x-sluice-deployment')).toBe('p/plenty');
  });

  test('pays for a second attempt where the first cost nothing', async () => {
    const response = await ask('retried');
    expect(response.headers.get('x-sluice-deployment')).toBe('p/once');
    expect(response.headers.get('x-sluice-attempts')).toBe('2');
    expect((await ask('retried')).status).toBe(429);
  });
});

test('a stream that its client leaves is charged what was used, counted, and the rest comes back', async () => {
  const abort = new AbortController();
  const response = await ask('streaming/endless', { stream: true, max_tokens: 1_000 }, { signal: abort.signal });
  const text = await readUntil(response.body!.getReader(), (read) => read.split('"token "').length > 10);
  const seen = text.split('"token "').length - 1;
  abort.abort();
  const [row] = await gateway.rowsOf(response.headers.get('x-request-id') ?? '', 1);
  expect(row).toMatchObject({ error: 'client_closed_request', is_estimated: true });
  const cost = Number(row?.cost_nano_usd);
  expect(cost).toBeGreaterThanOrEqual(seen * 1_000);
  expect(cost).toBeLessThan(100_000);
  await window('streaming/endless', ({ spent, leased }) => spent === cost && leased === 0);
});

test('a soft budget pays for everything, and its spending is counted', async () => {
  for (let i = 0; i < 3; i++) expect((await ask('p/soft')).status).toBe(200);
  await window('p/soft', ({ spent }) => spent === 30_000);
});

test('with the ledger away what is held still serves, then hard budgets refuse; both pass once it is back', async () => {
  for (let i = 0; i < 3; i++) expect((await ask('p/away')).status).toBe(200);
  await gateway.services.ledger.stop();
  const statuses: number[] = [];
  let code = '';
  for (let i = 0; i < 10 && code === ''; i++) {
    const response = await ask('p/away');
    statuses.push(response.status);
    if (response.status === 200) continue;
    ({ code } = ((await response.json()) as { error: { code: string } }).error);
    expect(response.headers.get('retry-after')).toBe('1');
  }
  expect({ code, status: statuses.at(-1) }).toEqual({ code: 'ledger_unavailable', status: 503 });
  expect((await ask('p/soft')).status).toBe(200);
  const { config, nats, databaseUrl } = gateway;
  gateway.services.ledger = await runLedger({
    ...{ config, natsUrl: nats.url, databaseUrl, clock: systemClock, registry: new Registry() },
    log: createLog('error', 'test'),
  });
  await until(
    async () => (await ask('p/away')).status === 200,
    10_000,
    () => 'served again',
  );
}, 60_000);
