import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyAudit } from '../../services/ledger/audit.ts';
import { forgetAnswers } from '../../services/ledger/idempotency.ts';
import { sql } from 'kysely';
import type { AdminGateway } from '../support/admin.ts';
import { ADMIN_TOKEN, startAdminGateway } from '../support/admin.ts';
import { TEST_KEY } from '../support/gateway.ts';

let gateway: AdminGateway;

beforeAll(async () => {
  gateway = await startAdminGateway();
});
afterAll(() => gateway.stop());

const admin = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): ReturnType<AdminGateway['ask']> => gateway.ask(ADMIN_TOKEN, method, path, body, headers);

const revision = async (): Promise<bigint> =>
  (await gateway.db.selectFrom('revisions').select('revision').executeTakeFirstOrThrow()).revision;
const audited = async (): Promise<number> => (await verifyAudit(gateway.db)).count;

describe('a team', () => {
  test('is made, read, changed field by field, and deleted', async () => {
    const made = await admin('POST', '/teams', { id: 'search', tags: { floor: '2' } });
    expect(made).toMatchObject({
      status: 201,
      body: { object: 'team', id: 'search', name: 'search', organisation: null, tags: { floor: '2' }, version: 1 },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    expect(made.headers.get('x-request-id')).toMatch(/^req_/);
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect((await admin('GET', '/teams/search')).body).toEqual(made.body);

    await admin('POST', '/organisations', { id: 'acme', name: 'Acme' });
    const changed = await admin('PATCH', '/teams/search', { organisation: 'acme' });
    expect(changed.body).toMatchObject({ name: 'search', organisation: 'acme', tags: { floor: '2' }, version: 2 });

    expect((await admin('DELETE', '/organisations/acme')).body).toMatchObject({
      error: { code: 'conflict', message: 'The organisation "acme" still has teams: delete or change them first.' },
    });
    expect(await admin('DELETE', '/teams/search')).toMatchObject({
      status: 200,
      body: { object: 'team', id: 'search', deleted: true },
    });
    expect(await admin('GET', '/teams/search')).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
  });

  test('is there once', async () => {
    await admin('POST', '/teams', { id: 'once' });
    expect(await admin('POST', '/teams', { id: 'once' })).toMatchObject({
      status: 409,
      body: { error: { code: 'conflict', param: 'id' } },
    });
  });

  test('is not deleted while a user is of it', async () => {
    await admin('POST', '/teams', { id: 'lived-in' });
    await admin('POST', '/users', { id: 'ada', team: 'lived-in' });
    expect(await admin('DELETE', '/teams/lived-in')).toMatchObject({ status: 409 });
    await admin('PATCH', '/users/ada', { team: null });
    expect(await admin('DELETE', '/teams/lived-in')).toMatchObject({ status: 200 });
  });
});

describe('bad input', () => {
  test('every field at fault is named at once', async () => {
    const { status, body } = await admin('POST', '/users', {
      name: ' spaces ',
      email: 'nobody',
      tags: { a: 1 },
      colour: 'red',
    });
    expect(status).toBe(400);
    const { error } = body as { error: { errors: Array<{ param: string; message: string }> } };
    expect(error).toMatchObject({ code: 'invalid_request', param: error.errors[0]?.param });
    expect(Object.fromEntries(error.errors.map(({ param, message }) => [param, message]))).toEqual({
      id: 'It is missing.',
      name: 'It must have no control characters, and no spaces around it.',
      email: 'Invalid email address.',
      'tags.a': 'Invalid input: expected string, received number.',
      colour: 'There is no such field.',
    });
  });

  test.each([
    { body: '{', code: 'invalid_json', status: 400 },
    { body: '[]', code: 'invalid_request', status: 400 },
    { body: undefined, code: 'invalid_request', status: 400 },
    { body: { id: 'x'.repeat(300_000) }, code: 'request_too_large', status: 413 },
    { body: { id: 'a b' }, code: 'invalid_request', status: 400 },
    { body: { id: 'x', organisation: 'nobody' }, code: 'invalid_request', status: 400 },
    { body: { id: 'x', name: 'a\u0000b' }, code: 'invalid_request', status: 400 },
    { body: '{"id":"x","name":"\\ud800"}', code: 'invalid_request', status: 400 },
  ])('a body of $body is refused as $code, and nothing is done', async ({ body, code, status }) => {
    const before = await audited();
    expect(await admin('POST', '/teams', body)).toMatchObject({ status, body: { error: { code } } });
    expect(await audited()).toBe(before);
  });

  test.each([
    { path: '/teams?limit=0', param: 'limit' },
    { path: '/teams?limit=many', param: 'limit' },
    { path: '/teams?after=%00', param: 'after' },
    { path: '/teams?after=!', param: 'after' },
    { path: '/teams?colour=red', param: 'colour' },
    { path: '/teams?limit=1&limit=2', param: 'limit' },
    { path: '/audit?since=yesterday', param: 'since' },
    { path: '/audit?after=YQ', param: 'after' },
  ])('$path is refused for $param', async ({ path, param }) => {
    expect(await admin('GET', path)).toMatchObject({ status: 400, body: { error: { param, errors: [{ param }] } } });
  });

  test('an unknown path and a method that a path has not are told apart', async () => {
    expect(await admin('GET', '/nothing')).toMatchObject({ status: 404, body: { error: { code: 'unknown_url' } } });
    const refused = await admin('PUT', '/teams/search', {});
    expect(refused).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
    expect(refused.headers.get('allow')).toBe('GET, PATCH, DELETE');
    expect(await admin('OPTIONS', '/teams')).toMatchObject({ status: 405 });
    expect(await admin('GET', '/teams/%E0%A4%A')).toMatchObject({ status: 400 });
  });
});

describe('who asks', () => {
  test('a key without a role is refused, and so is nobody', async () => {
    expect(await gateway.ask(TEST_KEY, 'GET', '/teams')).toMatchObject({
      status: 403,
      body: { error: { code: 'forbidden' } },
    });
    expect(await gateway.ask('sk-unknown', 'GET', '/teams')).toMatchObject({ status: 401 });
  });
});

describe('a state that was seen', () => {
  test('a change on an older one is refused, and one on the present state is made', async () => {
    await admin('POST', '/teams', { id: 'seen' });
    await admin('PATCH', '/teams/seen', { name: 'Seen' });
    const stale = await admin('PATCH', '/teams/seen', { name: 'Lost' }, { 'if-match': '"1"' });
    expect(stale).toMatchObject({ status: 412, body: { error: { code: 'precondition_failed', param: 'if-match' } } });
    expect(await admin('DELETE', '/teams/seen', undefined, { 'if-match': '"1"' })).toMatchObject({ status: 412 });
    expect((await admin('GET', '/teams/seen')).body).toMatchObject({ name: 'Seen', version: 2 });
    expect(await admin('PATCH', '/teams/seen', { name: 'Kept' }, { 'if-match': '"2"' })).toMatchObject({ status: 200 });
  });

  test('what is known already is not sent again', async () => {
    const { headers } = await admin('POST', '/teams', { id: 'known' });
    const etag = headers.get('etag') ?? '';
    const again = await admin('GET', '/teams/known', undefined, { 'if-none-match': etag });
    expect(again).toMatchObject({ status: 304, body: { text: '' } });
    await admin('PATCH', '/teams/known', { name: 'New' });
    expect(await admin('GET', '/teams/known', undefined, { 'if-none-match': etag })).toMatchObject({ status: 200 });
  });

  test('of two changes at once on one state, one is made', async () => {
    await admin('POST', '/teams', { id: 'raced' });
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => admin('PATCH', '/teams/raced', { name: `n${n}` }, { 'if-match': '"1"' })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, ...Array<number>(7).fill(412)]);
  });
});

describe('a request that comes again', () => {
  test('is done once and answered the same, however many come at once', async () => {
    const before = await audited();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => admin('POST', '/teams', { id: 'again' }, { 'idempotency-key': 'k1' })),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(answers.map(({ body }) => body)).toEqual(Array(5).fill(answers[0]?.body));
    expect(answers.map(({ headers }) => headers.get('etag'))).toEqual(Array(5).fill('"1"'));
    expect(answers.filter(({ headers }) => headers.get('idempotent-replayed') === 'true')).toHaveLength(4);
    expect(await audited()).toBe(before + 1);
  });

  test('with another body under the same key is refused', async () => {
    await admin('POST', '/teams', { id: 'first' }, { 'idempotency-key': 'k2' });
    const other = await admin('POST', '/teams', { id: 'second' }, { 'idempotency-key': 'k2' });
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'conflict', param: 'idempotency-key' } } });
    expect(await admin('GET', '/teams/second')).toMatchObject({ status: 404 });
  });

  test('after a failure it is tried anew', async () => {
    const headers = { 'idempotency-key': 'k3' };
    expect(await admin('POST', '/teams', { id: 'late', organisation: 'later' }, headers)).toMatchObject({
      status: 400,
    });
    await admin('POST', '/organisations', { id: 'later' });
    expect(await admin('POST', '/teams', { id: 'late', organisation: 'later' }, headers)).toMatchObject({
      status: 201,
    });
  });

  test('a day later its answer is forgotten', async () => {
    await admin('POST', '/teams', { id: 'old' }, { 'idempotency-key': 'k4' });
    await sql`update idempotent_answers set answered_at = now() - interval '25 hours' where key = 'k4'`.execute(
      gateway.db,
    );
    expect(await admin('POST', '/teams', { id: 'old' }, { 'idempotency-key': 'k4' })).toMatchObject({ status: 409 });
    expect(await forgetAnswers(gateway.db)).toBe(1);
  });

  test.each(['', 'x'.repeat(256)])('a key that is none is refused', async (key) => {
    expect(await admin('POST', '/teams', { id: 'keyless' }, { 'idempotency-key': key })).toMatchObject({
      status: 400,
      body: { error: { param: 'idempotency-key' } },
    });
  });
});

describe('a list', () => {
  test('comes page by page, each thing once', async () => {
    const ids = Array.from({ length: 7 }, (_, n) => `page-${n}`);
    for (const id of ids) await admin('POST', '/organisations', { id });
    const seen: string[] = [];
    let after = '';
    for (;;) {
      const { body } = await admin('GET', `/organisations?limit=3${after}`);
      const page = body as { data: Array<{ id: string }>; has_more: boolean; next_cursor?: string };
      seen.push(...page.data.map(({ id }) => id));
      expect(page.has_more).toBe(page.next_cursor !== undefined);
      if (page.next_cursor === undefined) break;
      expect(page.data).toHaveLength(3);
      after = `&after=${page.next_cursor}`;
    }
    expect(seen.filter((id) => id.startsWith('page-'))).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });
});

describe('what was done', () => {
  test('each change leaves a record of who, when, what, before and after, and raises the revision by one', async () => {
    const { count } = await verifyAudit(gateway.db);
    const was = await revision();
    await admin('POST', '/users', { id: 'grace', email: 'grace@example.com' });
    await admin('PATCH', '/users/grace', { name: 'Grace' });
    await admin('DELETE', '/users/grace');
    const { body } = await admin('GET', '/audit?entity=user&entity_id=grace');
    const { data } = body as { data: Array<Record<string, unknown>> };
    expect(data).toMatchObject([
      { action: 'deleteUser', before: { name: 'Grace', version: 2 }, after: null },
      { action: 'updateUser', before: { name: 'grace' }, after: { name: 'Grace' } },
      {
        sequence: String(count + 1),
        action: 'createUser',
        actor: 'config:admin',
        actor_role: 'owner',
        origin: '127.0.0.1',
        entity: 'user',
        before: null,
        after: { id: 'grace', email: 'grace@example.com' },
        request_id: expect.stringMatching(/^req_/) as string,
      },
    ]);
    expect(await revision()).toBe(was + 3n);
    expect(await verifyAudit(gateway.db)).toEqual({ count: count + 3, head: data[0]?.['hash'] });
  });

  test('what is refused leaves none', async () => {
    const before = [await audited(), await revision()];
    await admin('PATCH', '/users/nobody', { name: 'x' });
    await admin('POST', '/users', { id: 'x', team: 'nowhere' });
    await admin('DELETE', '/organisations/nowhere');
    expect([await audited(), await revision()]).toEqual(before);
  });
});

test('while no ledger is there, it says so', async () => {
  const { ledger } = gateway.services;
  await ledger.stop();
  const answer = await admin('GET', '/teams');
  expect(answer).toMatchObject({ status: 503, body: { error: { code: 'ledger_unavailable' } } });
  expect(answer.headers.get('retry-after')).toBe('1');
});
