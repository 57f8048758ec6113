import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { createKey } from '../../services/ledger/principals/keys.ts';
import { createLog } from '../../shared/log.ts';
import { testSecret } from '../support/gateway.ts';
import { errorOf, requestIdOf, startJourney } from '../support/journey.ts';
import type { Journey } from '../support/journey.ts';

let journey: Journey;

beforeAll(async () => {
  const one = { requests_per_minute: 60, burst: 1 };
  journey = await startJourney({
    providers: { good: '' },
    limits: { per_user: one, per_feature: one },
  });
});

afterAll(() => journey.stop());

/** Whose limit a second request like this meets. */
const limitedAs = async (headers: Record<string, string>, body: object = {}): Promise<string> => {
  expect((await journey.chat('good/m', body, { headers })).status).toBe(200);
  const { message } = await errorOf(await journey.chat('good/m', body, { headers }));
  return /^Rate limit reached for (.*): 60 requests/.exec(message)?.[1] ?? message;
};

test.each([
  { said: 'our header', headers: { 'x-sluice-user': 'a' }, body: {}, is: 'user:a' },
  { said: 'Helicone’s header', headers: { 'Helicone-User-Id': 'b' }, body: {}, is: 'user:b' },
  { said: 'LiteLLM’s header', headers: { 'x-litellm-end-user-id': 'c' }, body: {}, is: 'user:c' },
  { said: 'Portkey’s metadata', headers: { 'x-portkey-metadata': '{"_user":"d"}' }, body: {}, is: 'user:d' },
  { said: 'the body’s user', headers: {}, body: { user: 'e' }, is: 'user:e' },
  { said: 'the body’s safety identifier', headers: {}, body: { user: 'x', safety_identifier: 'f' }, is: 'user:f' },
  { said: 'a header before the body', headers: { 'x-sluice-user': 'g' }, body: { user: 'x' }, is: 'user:g' },
  { said: 'a feature', headers: { 'x-sluice-feature': 'h' }, body: {}, is: 'feature:h' },
])('a request is of whom it names: $said', async ({ headers, body, is }) => {
  expect(await limitedAs(headers as Record<string, string>, body)).toBe(is);
});

test('the account tells each attempt by what its request said', async () => {
  const headers = {
    ...{
      'x-sluice-user': 'ada',
      'x-sluice-feature': 'told',
      'x-sluice-session': 's-1',
      'x-sluice-property-env': 'test',
    },
    'x-litellm-tags': 'nightly',
  };
  const response = await journey.chat('good/m', { metadata: { env: 'prod', job: '7' } }, { headers });
  const [row] = await journey.gateway.rowsOf(requestIdOf(response), 1);
  expect(row).toMatchObject({
    ...{ user_id: 'ada', feature: 'told', session: 's-1' },
    tags: { env: 'test', nightly: 'true', job: '7' },
  });
});

test('what a request says of itself in headers no provider sees, and its body passes as it came', async () => {
  const headers = { 'x-sluice-user': 'upstream', 'x-sluice-property-env': 'test', 'x-portkey-metadata': '{"job":"7"}' };
  const before = journey.bodies('good').length;
  const response = await journey.chat('good/m', { user: 'theirs', metadata: { env: 'prod' } }, { headers });
  expect(response.status).toBe(200);
  const [body] = journey.bodies('good').slice(before);
  expect(JSON.parse(String(body))).toMatchObject({ user: 'theirs', metadata: { env: 'prod' } });
  const sent = Object.keys(journey.provider.requests().at(-1)?.headers ?? {});
  expect(sent.filter((name) => /^x-|metadata|property/.test(name))).toEqual([]);
});

test('a key may not let its requests name anybody: a header is refused, a field of the body passed over', async () => {
  const db = openDatabase({ url: journey.gateway.databaseUrl, log: createLog('silent', 'test') });
  const key = { name: 'silent', user: 'owner', mayName: [] };
  const { token } = await createKey(db, key, testSecret).finally(() => db.destroy());
  const authorization = `Bearer ${token}`;
  const refused = await journey.chat('good/m', {}, { headers: { authorization, 'x-sluice-feature': 'i' } });
  expect(refused.status).toBe(403);
  expect(await errorOf(refused)).toMatchObject({ code: 'attribution_not_allowed', param: 'x-sluice-feature' });
  expect(await limitedAs({ authorization }, { user: 'somebody' })).toBe('user:owner');
});

test('a name that could stand nowhere is refused', async () => {
  const response = await journey.chat('good/m', { user: 'two\nlines' });
  expect(response.status).toBe(400);
  expect(await errorOf(response)).toMatchObject({ code: 'invalid_request', param: 'user' });
});
