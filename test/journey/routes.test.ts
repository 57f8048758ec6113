import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

/** Six standard deviations of a binomial distribution: one run in a billion fails by chance. */
const REQUESTS = 200;
const HEAVY = { share: 0.75, slack: 6 * Math.sqrt(REQUESTS * 0.75 * 0.25) };

let journey: Journey;

beforeAll(async () => {
  const pool = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`pool${at}`, '']));
  journey = await startJourney({
    providers: {
      first: '',
      second: '',
      third: '',
      heavy: '',
      light: '',
      renamed: { script: '', models: { nice: { upstream: 'vendor/ugly-2026' } } },
      failing: 'seq=500',
      ...pool,
    },
    routes: {
      ordered: { strategy: 'ordered', targets: ['first/m', 'second/m'] },
      weighted: { strategy: 'weighted', targets: [{ model: 'heavy/m', weight: 3 }, 'light/m'] },
      sticky: { strategy: 'sticky', targets: Array.from({ length: 20 }, (_, at) => `pool${at}/m`) },
      'weighted-with-failure': {
        strategy: 'weighted',
        targets: [{ model: 'failing/m', weight: 1_000_000 }, 'third/m'],
      },
    },
  });
});

afterAll(() => journey.stop());

test('once the gateway says it is ready it serves every pool', async () => {
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async (_, at) => (await journey.chat(`pool${at}/m`)).status),
  );
  expect(statuses).toEqual(Array<number>(20).fill(200));
});

test('an ordered route asks its first target', async () => {
  await Promise.all(Array.from({ length: 20 }, () => journey.chat('ordered')));
  expect([journey.counted('first').requests, journey.counted('second').requests]).toEqual([20, 0]);
});

test('a weighted route shares by weight', async () => {
  await Promise.all(Array.from({ length: REQUESTS }, () => journey.chat('weighted')));
  const heavy = journey.counted('heavy').requests;
  expect(heavy + journey.counted('light').requests).toBe(REQUESTS);
  expect(Math.abs(heavy - REQUESTS * HEAVY.share)).toBeLessThan(HEAVY.slack);
});

test('a weighted route asks the others when the one it drew fails', async () => {
  const responses = await Promise.all(Array.from({ length: 10 }, () => journey.chat('weighted-with-failure')));
  expect(new Set(responses.map((response) => response.headers.get('x-sluice-deployment')))).toEqual(
    new Set(['third/m']),
  );
});

test.each([
  { name: 'ordered', what: 'a route', deployment: 'first/m' },
  { name: 'second/m', what: 'provider/model', deployment: 'second/m' },
  { name: 'nice', what: 'a bare model', deployment: 'renamed/nice' },
])('a name may be $what, and the answer says it', async ({ name, deployment }) => {
  const response = await journey.chat(name);
  expect(response.headers.get('x-sluice-deployment')).toBe(deployment);
  expect(await response.json()).toHaveProperty('model', name);
});

test('the ledger knows a request by the name it used and by what served it', async () => {
  const response = await journey.chat('ordered');
  expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toMatchObject([
    { model: 'ordered', route: 'ordered', deployment: 'first/m', provider: 'first', upstream_model: 'm' },
  ]);
});

test('a provider is asked by its own name for the model', async () => {
  await journey.chat('renamed/nice');
  expect(JSON.parse(journey.bodies('renamed').at(-1)?.toString() ?? '')).toHaveProperty('model', 'vendor/ugly-2026');
});

test.each(['unknown', 'first/unknown', 'unknown/m', 'FIRST/M', 'first/m/'])(
  'an unknown name (%s) is a 404 in OpenAI’s words',
  async (model) => {
    const response = await journey.chat(model);
    expect({ status: response.status, error: await errorOf(response) }).toEqual({
      status: 404,
      error: {
        message: `The model \`${model}\` does not exist or you do not have access to it.`,
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    });
  },
);

test('every name that is listed is served', async () => {
  const { data } = await journey.openai.models.list();
  const ids = data.map(({ id }) => id).filter((id) => !id.includes('failing'));
  expect(ids).toContain('ordered');
  const responses = await Promise.all(ids.map((id) => journey.chat(id)));
  expect(responses.map(({ status }) => status)).toEqual(ids.map(() => 200));
});

test('a chain in the model’s name is tried in its order, either order of the slash', async () => {
  const chain = 'm/failing, second/m,third/m';
  const response = await journey.chat(chain);
  expect({
    deployment: response.headers.get('x-sluice-deployment'),
    attempts: response.headers.get('x-sluice-attempts'),
  }).toEqual({ deployment: 'second/m', attempts: '2' });
  const rows = await journey.gateway.rowsOf(requestIdOf(response), 2);
  expect(rows.map(({ deployment, model }) => [deployment, model])).toEqual([
    ['failing/m', chain],
    ['second/m', chain],
  ]);
});

test('a chain with an unknown link is an unknown model, and nobody is asked', async () => {
  const before = journey.counted('third').requests;
  const response = await journey.chat('third/m,nobody/m');
  expect([response.status, (await errorOf(response)).code]).toEqual([404, 'model_not_found']);
  expect(journey.counted('third').requests).toBe(before);
});

test.each([
  { by: 'a user', of: (name: string) => [{ user: name }, {}] as const },
  {
    by: 'a prompt cache key, before its user',
    of: (name: string) => [{ user: 'all', prompt_cache_key: name }, {}] as const,
  },
  { by: 'a safety identifier', of: (name: string) => [{ safety_identifier: name }, {}] as const },
  {
    by: 'a session, before everything else',
    of: (name: string) => [{ user: 'all' }, { headers: { 'x-sluice-session': name } }] as const,
  },
])('a sticky route keeps the requests of one together: by $by', async ({ of }) => {
  const servedBy = async (name: string): Promise<string | null> => {
    const response = await journey.chat('sticky', ...of(name));
    expect(response.status).toBe(200);
    return response.headers.get('x-sluice-deployment');
  };
  const names = Array.from({ length: 12 }, (_, at) => `name ${at}`);
  const first = await Promise.all(names.map(servedBy));
  // Twelve in twenty places: all in the same one by chance is no risk.
  expect(new Set(first).size).toBeGreaterThan(1);
  expect(await Promise.all(names.map(servedBy))).toEqual(first);
});

test('who names nobody is known by the key', async () => {
  const served = await Promise.all(Array.from({ length: 10 }, () => journey.chat('sticky')));
  expect(new Set(served.map((response) => response.headers.get('x-sluice-deployment'))).size).toBe(1);
});
