import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertEvents } from '../../services/ledger/recording/record.ts';
import { usageEvents } from '../../services/ledger/testing/usage-event.ts';
import type { AdminGateway, AdminReply } from '../support/admin.ts';
import { ADMIN_TOKEN, startAdminGateway } from '../support/admin.ts';

let gateway: AdminGateway;

beforeAll(async () => {
  gateway = await startAdminGateway();
});
afterAll(() => gateway.stop());

const admin = (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<AdminReply> =>
  gateway.ask(ADMIN_TOKEN, method, path, body, headers);

const idOf = ({ body }: AdminReply): string => String(body['id']);
const paramsOf = ({ body }: AdminReply): string[] =>
  (body as { error: { errors: Array<{ param: string }> } }).error.errors.map(({ param }) => param);

async function models(token: string): Promise<number> {
  const response = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${token}` } });
  await response.body?.cancel();
  return response.status;
}

async function waitFor(status: number, token: string): Promise<void> {
  await expect.poll(() => models(token), { timeout: 5_000, interval: 20 }).toBe(status);
}

describe('a key', () => {
  test('is made with what it may do, shown without its token from then on, and changed field by field', async () => {
    const made = await admin('POST', '/keys', {
      name: 'search-prod',
      team: 'search',
      user: 'ada',
      overrides: ['strategy'],
      expires_at: '2100-01-31T00:00:00Z',
      models: ['openai/*'],
      networks: ['10.0.0.0/8'],
      may_name: ['user', 'tags'],
      tags: { env: 'prod' },
      log_payloads: 'redacted',
    });
    expect(made).toMatchObject({ status: 201, body: { token: expect.stringMatching(/^sk-sluice-/) as string } });
    const { token, ...key } = made.body;
    expect(key).toMatchObject({
      ...{ object: 'key', name: 'search-prod', status: 'live', team: 'search', user: 'ada', role: null },
      ...{ overrides: ['strategy'], routes: null, models: ['openai/*'], networks: ['10.0.0.0/8'] },
      ...{ may_name: ['user', 'tags'], tags: { env: 'prod' }, log_payloads: 'redacted' },
      ...{ expires_at: '2100-01-31T00:00:00.000Z', version: 1 },
    });
    expect((await admin('GET', `/keys/${idOf(made)}`)).body).toEqual(key);
    expect((await admin('GET', '/teams/search')).body).toMatchObject({ name: 'search' });

    const changed = await admin('PATCH', `/keys/${idOf(made)}`, { models: null, expires_at: null });
    expect(changed.body).toMatchObject({ models: null, expires_at: null, networks: ['10.0.0.0/8'], version: 2 });
    expect(changed.headers.get('etag')).toBe('"2"');

    const { rows } = await sql<{ all: string }>`
      select string_agg(t::text, ' ') as all from (
        select before::text || after::text as t from audit_records
        union all select body::text from idempotent_answers) as told`.execute(gateway.db);
    expect(rows[0]?.all).toContain('search-prod');
    expect(rows[0]?.all).not.toContain(String(token));
  });

  test('is made once for an Idempotency-Key, and its token is told the first time only', async () => {
    const headers = { 'idempotency-key': 'key-once' };
    const first = await admin('POST', '/keys', { name: 'once' }, headers);
    const again = await admin('POST', '/keys', { name: 'once' }, headers);
    const { token, ...key } = first.body;
    expect(token).toBeTypeOf('string');
    expect(again).toMatchObject({ status: 201, body: key });
    expect(again.body).not.toHaveProperty('token');
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(
      await admin('POST', `/keys/${idOf(first)}/rotate`, { overlap: '1h' }, { 'idempotency-key': 'r1' }),
    ).toMatchObject({
      body: { token: expect.any(String) as string },
    });
    const replayed = await admin('POST', `/keys/${idOf(first)}/rotate`, { overlap: '1h' }, { 'idempotency-key': 'r1' });
    expect(replayed.body).not.toHaveProperty('token');
    expect(replayed.body).toMatchObject({ version: 2 });
  });

  test('works, is blocked, works again, gets another token, and ends', async () => {
    const made = await admin('POST', '/keys', { name: 'living' });
    const token = String(made.body['token']);
    expect(await models(token)).toBe(200);
    expect((await admin('POST', `/keys/${idOf(made)}/block`)).body).toMatchObject({ status: 'blocked' });
    await waitFor(401, token);
    expect((await admin('POST', `/keys/${idOf(made)}/unblock`)).body).toMatchObject({ status: 'live' });
    await waitFor(200, token);
    const rotated = await admin('POST', `/keys/${idOf(made)}/rotate`, {});
    expect(await models(String(rotated.body['token']))).toBe(200);
    await waitFor(401, token);
    expect((await admin('DELETE', `/keys/${idOf(made)}`)).body).toMatchObject({ object: 'key', status: 'revoked' });
    await waitFor(401, String(rotated.body['token']));
    expect(await admin('PATCH', `/keys/${idOf(made)}`, { name: 'dead' })).toMatchObject({ status: 400 });
  });

  test.each([
    { body: {}, params: ['name'] },
    { body: { name: 'x', role: 'king', networks: 'all' }, params: ['role', 'networks'] },
    { body: { name: 'x', expires_at: 'soon', overrides: 'some' }, params: ['overrides', 'expires_at'] },
    { body: { name: 'x', networks: ['10.0.0.0/33'] }, params: ['networks'] },
    { body: { name: 'x', tags: { 'a=b': '1' } }, params: ['tags["a=b"]'] },
    { body: { name: 'x', may_name: ['nothing'] }, params: ['may_name[0]'] },
    { body: { name: 'x', id: 'mine', token: 'sk-mine' }, params: ['id', 'token'] },
  ])('with $body is refused for $params', async ({ body, params }) => {
    const refused = await admin('POST', '/keys', body);
    expect(refused).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(paramsOf(refused)).toEqual(params);
  });

  test('keeps its team from being deleted while it lives', async () => {
    const made = await admin('POST', '/keys', { name: 'tenant', team: 'tenants' });
    expect(await admin('DELETE', '/teams/tenants')).toMatchObject({
      status: 409,
      body: { error: { code: 'conflict' } },
    });
    await admin('DELETE', `/keys/${idOf(made)}`);
    expect(await admin('DELETE', '/teams/tenants')).toMatchObject({ status: 200 });
  });

  test('is found by its team and its user', async () => {
    await admin('POST', '/keys', { name: 'found', team: 'finders', user: 'finder' });
    for (const query of ['team=finders', 'user=finder', 'team=finders&user=finder'])
      expect((await admin('GET', `/keys?${query}`)).body).toMatchObject({ data: [{ name: 'found' }], has_more: false });
    expect((await admin('GET', '/keys?team=nobody')).body).toMatchObject({ data: [] });
  });
});

describe('a budget', () => {
  test('is made, changed, raised, looked at and ended', async () => {
    const made = await admin('POST', '/budgets', {
      scope: 'team:search',
      amount: '50 USD',
      per: 'day',
      time_zone: 'Europe/Berlin',
      on_limit: { downgrade: 'local' },
      alert_at: [80, 50],
    });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ object: 'budget', scope: 'team:search', amount: '50.00 USD', per: 'day', time_zone: 'Europe/Berlin' },
        ...{
          hard: true,
          on_limit: { downgrade: 'local' },
          alert_at: [50, 80],
          raise: null,
          configured: false,
          version: 1,
        },
      },
    });
    const path = `/budgets/${idOf(made)}`;
    expect((await admin('PATCH', path, { amount: '0.000000001 USD', on_limit: { queue: '20s' } })).body).toMatchObject({
      ...{ amount: '0.000000001 USD', on_limit: { queue: '20s' }, alert_at: [50, 80], version: 2 },
    });
    const until = new Date(Date.now() + 60_000).toISOString();
    expect((await admin('POST', `${path}/raise`, { by: '1.5 USD', until })).body).toMatchObject({
      raise: { by: '1.50 USD', until },
      version: 3,
    });
    expect((await admin('GET', `${path}/state`)).body).toMatchObject({
      data: [
        {
          ...{ object: 'budget_state', subject: 'team:search', limit: '1.500000001 USD', spent: '0.00 USD' },
          ...{ reserved: '0.00 USD', remaining: '1.500000001 USD', excess: '0.00 USD' },
          renews_at: expect.stringMatching(/T2[23]:00:00.000Z$/) as string,
        },
      ],
      has_more: false,
    });
    expect((await admin('POST', `${path}/raise`, { by: '0 USD' })).body).toMatchObject({ raise: null });
    expect(await admin('PATCH', path, { hard: false }, { 'if-match': '"3"' })).toMatchObject({ status: 412 });
    expect(await admin('DELETE', path)).toMatchObject({ status: 200, body: { deleted: true } });
    expect(await admin('GET', path)).toMatchObject({ status: 404 });
  });

  test.each([
    { body: { scope: 'team:x' }, params: ['amount', 'per'] },
    { body: { scope: 'nobody', amount: '5 EUR', per: 'fortnight' }, params: ['amount', 'scope', 'per'] },
    { body: { scope: 'total', amount: '10000000 USD', per: 'day' }, params: ['amount'] },
    { body: { scope: 'total', amount: 5, per: 'day' }, params: ['amount'] },
    { body: { scope: 'total', amount: '5 USD', per: { rolling: '1 fortnight' } }, params: ['per.rolling'] },
    { body: { scope: 'total', amount: '5 USD', per: { rolling: '1s' } }, params: ['per'] },
    { body: { scope: 'total', amount: '5 USD', per: 'day', time_zone: 'Mars/Base' }, params: ['time_zone'] },
    { body: { scope: 'total', amount: '5 USD', per: 'day', alert_at: [0] }, params: ['alert_at[0]'] },
    { body: { scope: 'total', amount: '5 USD', per: 'day', on_limit: 'explode' }, params: ['on_limit'] },
    { body: { scope: 'total', amount: '5 USD', per: 'day', on_limit: { queue: 'long' } }, params: ['on_limit.queue'] },
  ])('of $body is refused for $params', async ({ body, params }) => {
    const refused = await admin('POST', '/budgets', body);
    expect(refused).toMatchObject({ status: 400 });
    expect(paramsOf(refused).toSorted()).toEqual(params.toSorted());
  });

  test.each([{ by: '1 USD' }, { by: '1 USD', until: '2020-01-01T00:00:00Z' }])('is not raised by %o', async (raise) => {
    const made = await admin('POST', '/budgets', { scope: 'total', amount: '5 USD', per: 'total' });
    const refused = await admin('POST', `/budgets/${idOf(made)}/raise`, raise);
    expect(refused).toMatchObject({ status: 400, body: { error: { param: 'until' } } });
    await admin('DELETE', `/budgets/${idOf(made)}`);
  });
});

describe('a limit', () => {
  test('is made, changed field by field, and deleted', async () => {
    const made = await admin('POST', '/limits', {
      scope: 'user:*',
      tokens_per_minute: 1_000,
      cost: { amount: '5 USD', per: '1h' },
    });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ object: 'limit', scope: 'user:*', requests_per_minute: null, tokens_per_minute: 1_000 },
        ...{ cost: { amount: '5.00 USD', per: '1h' }, concurrent: null, burst: null, version: 1 },
      },
    });
    const path = `/limits/${idOf(made)}`;
    expect((await admin('PATCH', path, { cost: null, concurrent: 4 })).body).toMatchObject({
      ...{ tokens_per_minute: 1_000, cost: null, concurrent: 4, version: 2 },
    });
    expect((await admin('GET', '/limits?scope=user:*')).body).toMatchObject({ data: [{ concurrent: 4 }] });
    expect(await admin('DELETE', path, undefined, { 'if-match': '"2"' })).toMatchObject({ status: 200 });
    expect(await admin('GET', path)).toMatchObject({ status: 404 });
  });

  test.each([
    { body: { scope: 'total' }, params: ['requests_per_minute'] },
    { body: { scope: 'total', concurrent: 0, burst: 1.5 }, params: ['concurrent', 'burst'] },
    { body: { scope: 'total', cost: { amount: '5 USD' } }, params: ['cost.per'] },
    { body: { scope: 'tag:a=b', concurrent: 1 }, params: ['scope'] },
    { body: { scope: 'total', tokens_per_minute: '5' }, params: ['tokens_per_minute'] },
  ])('of $body is refused for $params', async ({ body, params }) => {
    const refused = await admin('POST', '/limits', body);
    expect(refused).toMatchObject({ status: 400 });
    expect(paramsOf(refused).toSorted()).toEqual(params.toSorted());
  });
});

describe('a block', () => {
  test('is set with a reason, set anew, listed and taken back, whatever its scope is called', async () => {
    const scope = 'model:openai/gpt-4o mini?#%';
    const path = `/blocks/${encodeURIComponent(scope)}`;
    expect((await admin('PUT', path, { reason: 'Too dear.' })).body).toMatchObject({
      ...{ object: 'block', scope, reason: 'Too dear.', blocked_by: 'config:admin' },
    });
    await admin('PUT', path, { reason: 'Far too dear.' });
    expect((await admin('GET', '/blocks')).body).toMatchObject({ data: [{ scope, reason: 'Far too dear.' }] });
    expect((await admin('DELETE', path)).body).toEqual({ object: 'block', id: scope, deleted: true });
    expect(await admin('DELETE', path)).toMatchObject({ status: 404 });
    const { body } = await admin('GET', '/audit?entity=block');
    expect(body).toMatchObject({
      data: [
        { action: 'unblock', before: { reason: 'Far too dear.' }, after: null },
        { action: 'block', before: { reason: 'Too dear.' }, after: { reason: 'Far too dear.' } },
        { action: 'block', before: null },
      ],
    });
  });

  test('has a scope and a reason', async () => {
    expect(paramsOf(await admin('PUT', '/blocks/nobody', {}))).toEqual(['scope', 'reason']);
    expect(paramsOf(await admin('PUT', '/blocks/total', { reason: '  ' }))).toEqual(['reason']);
  });
});

describe('usage', () => {
  const FROM = Date.UTC(2026, 10, 20);
  const SPAN = 'since=2026-11-20T00:00:00Z&until=2026-11-21T00:00:00Z';

  beforeAll(async () => {
    await insertEvents(gateway.db, [
      ...usageEvents(3, { team: 'red', startedEpochMs: FROM + 1_000, costNanoUsd: 1, tags: { env: 'prod' } }),
      ...usageEvents(2, { team: 'blue', startedEpochMs: FROM + 3_600_000, costNanoUsd: 1_000_000_000, model: 'a,"b"' }),
      ...usageEvents(1, { team: null, startedEpochMs: FROM + 7_200_000, costNanoUsd: null }),
    ]);
  });

  test('is summed by what is asked for, the dearest first, with the total of all', async () => {
    const { status, body } = await admin('GET', `/usage?by=team&${SPAN}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      ...{ object: 'usage', since: '2026-11-20T00:00:00.000Z', until: '2026-11-21T00:00:00.000Z', by: ['team'] },
      data: [
        { group: { team: 'blue' }, attempts: 2, cost_usd: '2.00', cost_nano_usd: '2000000000', input_tokens: 2_000 },
        { group: { team: 'red' }, attempts: 3, cost_usd: '0.000000003' },
        { group: { team: null }, attempts: 1, unknown_price: 1 },
      ],
      total: { group: {}, attempts: 6, cost_nano_usd: '2000000003' },
    });
  });

  test('is told as a series, of the dearest few, and of a part', async () => {
    const series = await admin('GET', `/usage?every=hour&${SPAN}`);
    expect((series.body as { data: unknown[] }).data).toHaveLength(3);
    const top = await admin('GET', `/usage?by=team&top=1&${SPAN}`);
    expect(top.body).toMatchObject({ data: [{ group: { team: 'blue' } }], total: { attempts: 6 } });
    const part = await admin('GET', `/usage?by=tag:env&tag=env%3Dprod&${SPAN}`);
    expect(part.body).toMatchObject({ data: [{ group: { 'tag:env': 'prod' }, attempts: 3 }], total: { attempts: 3 } });
  });

  test.each([
    { query: 'by=colour', param: 'by' },
    { query: 'by=team,model,route,lane,error', param: 'by' },
    { query: 'since=2026-11-21T00:00:00Z&until=2026-11-20T00:00:00Z', param: 'until' },
    { query: 'every=minute', param: 'every' },
    { query: 'tag=env', param: 'tag' },
    { query: 'top=0', param: 'top' },
  ])('asked for by $query is refused for $param', async ({ query, param }) => {
    expect(await admin('GET', `/usage?${query}`)).toMatchObject({ status: 400, body: { error: { param } } });
  });

  test('is exported as CSV with one head, and as JSON lines', async () => {
    const csv = await admin('GET', `/usage/export?format=csv&${SPAN}`);
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const lines = String(csv.body['text']).trimEnd().split('\r\n');
    expect(lines).toHaveLength(7);
    expect(lines[0]).toMatch(/^attempt_id,request_id,/);
    expect(lines.filter((line) => line.includes('"a,""b"""'))).toHaveLength(2);
    const jsonl = await admin('GET', `/usage/export?team=red&${SPAN}`);
    expect(jsonl.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
    const rows = String(jsonl.body['text'])
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(rows).toEqual(Array(3).fill(expect.objectContaining({ team: 'red', cost_usd: '0.000000001' })));
  });

  test('is charged anew by corrections, a page at a time, and once', async () => {
    await insertEvents(gateway.db, [
      ...usageEvents(1_200, { deployment: 'late/m', team: 'late', startedEpochMs: FROM, costNanoUsd: null }),
    ]);
    const body = {
      deployment: 'late/m',
      since: '2026-11-20T00:00:00Z',
      reason: 'Late.',
      price: { input: '1 USD', output: '2 USD' },
    };
    const first = await admin('POST', '/usage/re-rate', body);
    expect(first).toMatchObject({
      status: 200,
      body: { attempts: 1_000, corrected: 1_000, amount: '1.40 USD', has_more: true },
    });
    const rest = await admin('POST', '/usage/re-rate', { ...body, after: first.body['next_cursor'] });
    expect(rest.body).toEqual({
      object: 're_rated',
      attempts: 200,
      corrected: 200,
      amount: '0.28 USD',
      has_more: false,
    });
    expect((await admin('POST', '/usage/re-rate', body)).body).toMatchObject({ corrected: 0, amount: '0.00 USD' });
    expect((await admin('GET', `/usage?team=late&${SPAN}`)).body).toMatchObject({
      total: { cost_usd: '1.68', unknown_price: 0 },
    });
    const refused = await admin('POST', '/usage/re-rate', { ...body, price: { input: '0.1', output: '99999999 USD' } });
    expect(paramsOf(refused)).toEqual(['price.input', 'price.output']);
  });

  test('of many parts comes whole and in order, however slowly it is read, and can be broken off', async () => {
    const many = 2_500;
    for (let n = 0; n < many; n += 500)
      await insertEvents(
        gateway.db,
        Array.from({ length: 500 }, (_, i) => usageEvents(1, { team: 'many', startedEpochMs: FROM + n + i })).flat(),
      );
    const open = (): Promise<Response> =>
      fetch(`${gateway.url}/admin/v1/usage/export?team=many`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    const broken = await open();
    await broken.body?.cancel();
    let text = '';
    for await (const chunk of (await open()).body ?? []) {
      text += Buffer.from(chunk).toString();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const starts = text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { started_at: string }).started_at);
    expect(starts).toHaveLength(many);
    expect(starts).toEqual(starts.toSorted());
  });
});

test('the description of the API is served to everybody, and is that of its operations', async () => {
  const response = await fetch(`${gateway.url}/admin/openapi.json`);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  expect(await response.json()).toMatchObject({
    openapi: '3.1.0',
    paths: { '/admin/v1/keys/{key}/rotate': { post: {} } },
  });
});
