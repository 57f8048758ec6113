import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { createKey } from '../../services/ledger/principals/keys.ts';
import type { NewKey } from '../../services/ledger/principals/keys.ts';
import { createLog } from '../../shared/log.ts';
import { testSecret } from '../support/gateway.ts';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';
import { expectOpenAiError } from '../support/openai-error.ts';

let journey: Journey;

beforeAll(async () => {
  journey = await startJourney({
    providers: { p: { script: '', models: { m: {}, renamed: { upstream: 'there' } } }, late: 'seq=slow&slow=500' },
    routes: { r: { targets: ['p/m'] } },
  });
});

afterAll(() => journey.stop());

const MESSAGES = '"messages":[{"role":"user","content":"\\"sluice\\":{}"}]';
const ask = (body: string, headers: Record<string, string> = {}): Promise<Response> =>
  journey.gateway.post('/v1/chat/completions', body, { headers });

/** What the provider received of this body. */
async function sent(body: string): Promise<string> {
  const response = await ask(body);
  expect({ status: response.status, text: await response.text() }).toMatchObject({ status: 200 });
  return journey.bodies('p').at(-1)?.toString() ?? '';
}

describe('no provider sees the `sluice` object', () => {
  test.each([
    {
      why: 'first',
      body: `{"sluice":{"strategy":"ordered"},"model":"p/m",${MESSAGES}}`,
      rest: `{"model":"m",${MESSAGES}}`,
    },
    {
      why: 'last',
      body: `{"model":"p/m",${MESSAGES} , "sluice" : { "lane" : "batch" } }`,
      rest: `{"model":"m",${MESSAGES}  }`,
    },
    {
      why: 'between others',
      body: `{"model":"p/renamed","sluice":{"x":0},${MESSAGES}}`.replace('{"x":0}', '{}'),
      rest: `{"model":"there",${MESSAGES}}`,
    },
    { why: 'null', body: `{"model":"p/m","sluice":null,${MESSAGES}}`, rest: `{"model":"m",${MESSAGES}}` },
    {
      why: 'spelled with escapes',
      body: String.raw`{"model":"p/m","\u0073luice":{},` + `${MESSAGES}}`,
      rest: `{"model":"m",${MESSAGES}}`,
    },
    {
      why: 'before a stream’s own options',
      body: `{"sluice":{},"model":"p/m","stream":true,${MESSAGES}}`,
      rest: `{"stream_options":{"include_usage":true},"model":"m","stream":true,${MESSAGES}}`,
    },
  ])('$why', async ({ body, rest }) => {
    expect(await sent(body)).toBe(rest);
  });

  test('of embeddings, too', async () => {
    const response = await journey.gateway.post('/v1/embeddings', '{"model":"p/m","sluice":{},"input":"x"}');
    expect(response.status).toBe(200);
    expect(journey.bodies('p').at(-1)?.toString()).toBe('{"model":"m","input":"x"}');
  });

  test('nor one deeper in the body that is not the gateway’s', async () => {
    const body = `{"model":"p/m",${MESSAGES},"metadata":{"sluice":"mine"}}`;
    expect(await sent(body)).toBe(body.replace('p/m', 'm'));
  });
});

describe('what a request says wrongly of its routing is refused by name', () => {
  test.each([
    { sluice: '{"stratgy":"ordered"}', param: 'sluice.stratgy' },
    { sluice: '{"strategy":"luck"}', param: 'sluice.strategy' },
    { sluice: '{"max_attempts":0}', param: 'sluice.max_attempts' },
    { sluice: '{"fallbacks":["nobody/knows"]}', param: 'sluice.fallbacks' },
    { sluice: '"ordered"', param: 'sluice' },
    { sluice: '{},"sluice":{}', param: 'sluice' },
    { sluice: '{"lane":"fast"}', param: 'sluice.lane' },
  ])('$sluice', async ({ sluice, param }) => {
    const before = journey.counted('p').requests;
    await expectOpenAiError(await ask(`{"model":"p/m",${MESSAGES},"sluice":${sluice}}`), 'invalid_request', param);
    expect(journey.counted('p').requests).toBe(before);
  });

  test('in a header, by the header’s name', async () => {
    const response = await ask(`{"model":"p/m",${MESSAGES}}`, { 'x-sluice-strategy': 'luck' });
    await expectOpenAiError(response, 'invalid_request', 'x-sluice-strategy');
  });
});

describe('the record knows', () => {
  const laneOf = async (response: Response): Promise<unknown> => {
    const [row] = (await journey.gateway.rowsOf(requestIdOf(response), 1)) as unknown as { lane: unknown }[];
    return row?.lane;
  };
  const batch = `{"model":"r",${MESSAGES},"sluice":{"lane":"batch"}}`;

  test('the lane that the body named', async () => {
    expect(await laneOf(await ask(batch))).toBe('batch');
  });

  test('the lane that the header named, before the body', async () => {
    expect(await laneOf(await ask(batch, { 'x-sluice-lane': 'interactive' }))).toBeNull();
  });

  test('why the deployment was chosen', async () => {
    const response = await ask(`{"model":"r",${MESSAGES}}`);
    expect(await journey.gateway.rowsOf(requestIdOf(response), 1)).toMatchObject([
      { route: 'r', reason: expect.any(String) as string, variant: null },
    ]);
  });
});

test('a deadline of the body’s is the request’s, unless a header names another', async () => {
  const body = `{"model":"late/m",${MESSAGES},"sluice":{"timeout":"100ms"}}`;
  await expectOpenAiError(await ask(body), 'deadline_exceeded');
  expect((await ask(body, { 'x-sluice-timeout': '20s' })).status).toBe(200);
});

describe('a key of the ledger', () => {
  const keyWith = async (fields: NewKey): Promise<Record<string, string>> => {
    const db = openDatabase({ url: journey.gateway.databaseUrl, log: createLog('silent', 'test') });
    const { token } = await createKey(db, fields, testSecret);
    await db.destroy();
    return { authorization: `Bearer ${token}` };
  };
  const strategy = `{"model":"p/m",${MESSAGES},"sluice":{"strategy":"ordered"}}`;

  test('that may say nothing is refused what it says, and told what', async () => {
    const headers = await keyWith({ name: 'bound', overrides: [] });
    await expectOpenAiError(await ask(strategy, headers), 'override_not_allowed', 'sluice.strategy');
    const said = await ask(`{"model":"p/m",${MESSAGES}}`, { ...headers, 'x-sluice-regions': 'eu' });
    expect(said.status).toBe(403);
    expect(await errorOf(said)).toMatchObject({ code: 'override_not_allowed', param: 'x-sluice-regions' });
    // These only take.
    const less = `{"model":"p/m",${MESSAGES},"sluice":{"lane":"batch","timeout":"30s"}}`;
    expect((await ask(less, { ...headers, 'x-sluice-timeout': '20s' })).status).toBe(200);
  });

  test('that may say one thing says that', async () => {
    const headers = await keyWith({ name: 'narrow', overrides: ['strategy'] });
    expect((await ask(strategy, headers)).status).toBe(200);
    const regions = await ask(strategy, { ...headers, 'x-sluice-max-attempts': '2' });
    await expectOpenAiError(regions, 'override_not_allowed', 'x-sluice-max-attempts');
  });
});
