import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationId } from '../../shared/admin/operations.ts';
import { OPERATION_IDS, operationOf } from '../../shared/admin/operations.ts';
import { ROLES } from '../../shared/messages/key.ts';
import type { AdminGateway, AdminReply } from '../support/admin.ts';
import { ADMIN_TOKEN, startAdminGateway } from '../support/admin.ts';
import { TEST_KEY } from '../support/gateway.ts';

/** The team of the `team_admin` that asks, and another one. */
type Team = 'mine' | 'other';

interface Request {
  readonly path: string;
  readonly body?: unknown;
}

let gateway: AdminGateway;
let count = 0;
/** By role; `caller` has none. */
const tokens = new Map<string, string>();

const owner = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
  const reply = await gateway.ask(ADMIN_TOKEN, method, path, body);
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`);
  return reply.body;
};
const fresh = (): string => `x${++count}`;

async function madeOf(path: string, body: unknown): Promise<string> {
  return String((await owner('POST', path, body))['id']);
}
const organisation = (): Promise<string> => madeOf('/organisations', { id: fresh() });
const emptyTeam = (): Promise<string> => madeOf('/teams', { id: fresh() });
const user = (team: Team): Promise<string> => madeOf('/users', { id: fresh(), team });
const key = (team: Team): Promise<string> => madeOf('/keys', { name: fresh(), team });
const budget = (team: Team): Promise<string> =>
  madeOf('/budgets', { scope: `team:${team}`, amount: '1 USD', per: 'day' });
const limit = (team: Team): Promise<string> => madeOf('/limits', { scope: `team:${team}`, requests_per_minute: 5 });

/** A request that is right in every way for each operation: whether it is served is for the role to say. */
const REQUESTS: Readonly<Record<OperationId, (team: Team) => Promise<Request> | Request>> = {
  listOrganisations: () => ({ path: '/organisations' }),
  createOrganisation: () => ({ path: '/organisations', body: { id: fresh() } }),
  getOrganisation: async () => ({ path: `/organisations/${await organisation()}` }),
  updateOrganisation: async () => ({ path: `/organisations/${await organisation()}`, body: { name: 'New' } }),
  deleteOrganisation: async () => ({ path: `/organisations/${await organisation()}` }),
  listTeams: () => ({ path: '/teams' }),
  createTeam: () => ({ path: '/teams', body: { id: fresh() } }),
  getTeam: (team) => ({ path: `/teams/${team}` }),
  updateTeam: (team) => ({ path: `/teams/${team}`, body: { name: 'New' } }),
  deleteTeam: async () => ({ path: `/teams/${await emptyTeam()}` }),
  listUsers: (team) => ({ path: `/users?team=${team}` }),
  createUser: (team) => ({ path: '/users', body: { id: fresh(), team } }),
  getUser: async (team) => ({ path: `/users/${await user(team)}` }),
  updateUser: async (team) => ({ path: `/users/${await user(team)}`, body: { name: 'New' } }),
  deleteUser: async (team) => ({ path: `/users/${await user(team)}` }),
  listKeys: (team) => ({ path: `/keys?team=${team}` }),
  createKey: (team) => ({ path: '/keys', body: { name: fresh(), team } }),
  getKey: async (team) => ({ path: `/keys/${await key(team)}` }),
  updateKey: async (team) => ({ path: `/keys/${await key(team)}`, body: { models: ['simulated/*'] } }),
  rotateKey: async (team) => ({ path: `/keys/${await key(team)}/rotate`, body: { overlap: '1h' } }),
  blockKey: async (team) => ({ path: `/keys/${await key(team)}/block` }),
  unblockKey: async (team) => ({ path: `/keys/${await key(team)}/unblock` }),
  revokeKey: async (team) => ({ path: `/keys/${await key(team)}` }),
  listBudgets: (team) => ({ path: `/budgets?scope=team:${team}` }),
  createBudget: (team) => ({ path: '/budgets', body: { scope: `team:${team}`, amount: '5 USD', per: 'month' } }),
  getBudget: async (team) => ({ path: `/budgets/${await budget(team)}` }),
  updateBudget: async (team) => ({ path: `/budgets/${await budget(team)}`, body: { amount: '2 USD' } }),
  deleteBudget: async (team) => ({ path: `/budgets/${await budget(team)}` }),
  raiseBudget: async (team) => ({
    path: `/budgets/${await budget(team)}/raise`,
    body: { by: '1 USD', until: new Date(Date.now() + 60_000).toISOString() },
  }),
  listBudgetState: async (team) => ({ path: `/budgets/${await budget(team)}/state` }),
  listLimits: (team) => ({ path: `/limits?scope=team:${team}` }),
  createLimit: (team) => ({ path: '/limits', body: { scope: `team:${team}`, concurrent: 5 } }),
  getLimit: async (team) => ({ path: `/limits/${await limit(team)}` }),
  updateLimit: async (team) => ({ path: `/limits/${await limit(team)}`, body: { burst: 3 } }),
  deleteLimit: async (team) => ({ path: `/limits/${await limit(team)}` }),
  listBlocks: () => ({ path: '/blocks' }),
  block: async (team) => ({ path: `/blocks/user:${await user(team)}`, body: { reason: 'A test.' } }),
  unblock: async (team) => {
    const path = `/blocks/key:${await key(team)}`;
    await owner('PUT', path, { reason: 'A test.' });
    return { path };
  },
  getUsage: (team) => ({ path: `/usage?by=model&team=${team}` }),
  exportUsage: (team) => ({ path: `/usage/export?format=csv&team=${team}` }),
  reRate: () => ({
    path: '/usage/re-rate',
    body: {
      ...{ deployment: 'simulated/m', since: '2026-11-01T00:00:00Z', reason: 'A test.' },
      price: { input: '1 USD', output: '2 USD' },
    },
  }),
  listAuditRecords: () => ({ path: '/audit' }),
};

beforeAll(async () => {
  gateway = await startAdminGateway();
  await owner('POST', '/teams', { id: 'mine' });
  await owner('POST', '/teams', { id: 'other' });
  for (const role of ROLES) {
    const team = role === 'team_admin' ? 'mine' : null;
    tokens.set(role, String((await owner('POST', '/keys', { name: role, role, team }))['token']));
  }
  tokens.set('caller', String((await owner('POST', '/keys', { name: 'caller', team: 'mine' }))['token']));
  tokens.set('configured', TEST_KEY);
  await owner('PUT', '/blocks/team:other', { reason: 'Something to be seen.' });
});
afterAll(() => gateway.stop());

const ask = (who: string, id: OperationId, { path, body }: Request): Promise<AdminReply> =>
  gateway.ask(tokens.get(who) ?? '', operationOf(id).method, path, body);

/** What must not move when something is refused. */
async function state(): Promise<unknown> {
  const records = await gateway.db
    .selectFrom('audit_records')
    .select(({ fn }) => fn.countAll<bigint>().as('count'))
    .executeTakeFirstOrThrow();
  return [await gateway.db.selectFrom('revisions').select('revision').executeTakeFirstOrThrow(), records.count];
}

async function expectRefusal(who: string, id: OperationId, request: Request, codes: readonly string[]): Promise<void> {
  const before = await state();
  const { status, body } = await ask(who, id, request);
  expect({ status, body }).toMatchObject({
    status: expect.any(Number) as number,
    body: { error: { code: expect.stringMatching(new RegExp(`^(${codes.join('|')})$`)) as string } },
  });
  expect(await state()).toEqual(before);
}

describe.each(OPERATION_IDS)('%s', (id) => {
  const { roles, isChange } = operationOf(id);

  test.each(ROLES.filter((role) => roles.includes(role)))('is for %s', async (role) => {
    const request = await REQUESTS[id]('mine');
    const before = await state();
    const { status, body } = await ask(role, id, request);
    expect({ status, body }).toMatchObject({ status: operationOf(id).status });
    const after = await state();
    if (isChange) expect(after).not.toEqual(before);
    else expect(after).toEqual(before);
  });

  test.each([...ROLES.filter((role) => !roles.includes(role)), 'caller', 'configured'])(
    'is not for %s',
    async (who) => {
      await expectRefusal(who, id, await REQUESTS[id]('mine'), ['forbidden']);
    },
  );

  test('is not for nobody', async () => {
    await expectRefusal('nobody', id, await REQUESTS[id]('mine'), ['invalid_api_key']);
  });
});

describe.each(OPERATION_IDS.filter((id) => operationOf(id).roles.includes('team_admin')))('%s', (id) => {
  test('shows and does nothing of another team for its team’s admin', async () => {
    const request = await REQUESTS[id]('other');
    const before = await state();
    const { status, body } = await ask('team_admin', id, request);
    if (status === 200) expect(JSON.stringify(body)).not.toContain('other');
    else expect(body).toMatchObject({ error: { code: expect.stringMatching(/^(forbidden|not_found)$/) as string } });
    expect(await state()).toEqual(before);
  });
});

describe('an admin', () => {
  test.each(['updateKey', 'rotateKey', 'blockKey', 'unblockKey', 'revokeKey'] as const)(
    'may not use %s on an owner’s key',
    async (id) => {
      const owners = await madeOf('/keys', { name: fresh(), role: 'owner' });
      const { path, body } = await REQUESTS[id]('mine');
      await expectRefusal('admin', id, { path: path.replace(/key_[^/]+/, owners), body }, ['forbidden']);
    },
  );

  test('makes no owner, of a new key or an old one', async () => {
    await expectRefusal('admin', 'createKey', { path: '/keys', body: { name: fresh(), role: 'owner' } }, ['forbidden']);
    const path = `/keys/${await key('mine')}`;
    await expectRefusal('admin', 'updateKey', { path, body: { role: 'owner' } }, ['forbidden']);
    expect(await ask('admin', 'updateKey', { path, body: { role: 'admin' } })).toMatchObject({ status: 200 });
  });
});

describe('a team’s admin', () => {
  const refused = async (id: OperationId, request: Request, codes = ['forbidden']): Promise<void> =>
    expectRefusal('team_admin', id, request, codes);

  test('makes keys and users of its own team, named or not', async () => {
    const made = await ask('team_admin', 'createKey', { path: '/keys', body: { name: fresh() } });
    expect(made).toMatchObject({ status: 201, body: { team: 'mine', role: null } });
    expect(await ask('team_admin', 'createUser', { path: '/users', body: { id: fresh() } })).toMatchObject({
      body: { team: 'mine' },
    });
  });

  test.each([{ role: 'admin' }, { role: 'owner' }, { role: 'viewer' }, { team: 'other' }, { organisation: 'acme' }])(
    'makes no key with %o',
    (more) => refused('createKey', { path: '/keys', body: { name: fresh(), ...more } }),
  );

  test('gives no key to another team’s user, and moves none to another team or none', async () => {
    await refused('createKey', { path: '/keys', body: { name: fresh(), user: await user('other') } });
    const path = `/keys/${await key('mine')}`;
    await refused('updateKey', { path, body: { user: await user('other') } });
    await refused('updateKey', { path, body: { team: 'other' } });
    await refused('updateKey', { path, body: { team: null } });
    await refused('updateUser', { path: `/users/${await user('mine')}`, body: { team: 'other' } });
    await refused('updateUser', { path: `/users/${await user('mine')}`, body: { team: null } });
    expect(await ask('team_admin', 'updateKey', { path, body: { user: await user('mine') } })).toMatchObject({
      status: 200,
    });
  });

  test('does not change the key of an admin who is of its team', async () => {
    const admins = await madeOf('/keys', { name: fresh(), team: 'mine', role: 'admin' });
    await refused('revokeKey', { path: `/keys/${admins}` });
  });

  test.each(['total', 'user:*', 'team:*', 'model:simulated/m', 'route:x', 'organisation:acme', 'tag:a=b', 'feature:f'])(
    'makes no budget, limit or block for %s',
    async (scope) => {
      await refused('createBudget', { path: '/budgets', body: { scope, amount: '1 USD', per: 'day' } });
      if (!scope.startsWith('tag')) await refused('createLimit', { path: '/limits', body: { scope, concurrent: 1 } });
      await refused('block', { path: `/blocks/${encodeURIComponent(scope)}`, body: { reason: 'A test.' } });
    },
  );

  test('may set limits and budgets for its users and keys', async () => {
    for (const scope of [`user:${await user('mine')}`, `key:${await key('mine')}`])
      expect(await ask('team_admin', 'createLimit', { path: '/limits', body: { scope, concurrent: 1 } })).toMatchObject(
        {
          status: 201,
          body: { scope },
        },
      );
  });

  test('sees in its lists what is of its team, and only that', async () => {
    const ids = [await limit('mine'), await limit('other'), await limit('mine')];
    const { body } = await ask('team_admin', 'listLimits', { path: '/limits?limit=200' });
    const { data } = body as { data: Array<{ id: string; scope: string }> };
    expect(data.map(({ id }) => id).filter((id) => ids.includes(id))).toEqual([ids[0], ids[2]]);
    const scopes = new Set(data.map(({ scope }) => scope.replace(/:x\d+$|:key_.*/, '')));
    expect([...scopes].toSorted()).toEqual(['key', 'team:mine', 'user']);
    expect((await ask('team_admin', 'listTeams', { path: '/teams' })).body).toMatchObject({ data: [{ id: 'mine' }] });
    const usage = await ask('team_admin', 'getUsage', { path: '/usage?by=team' });
    expect(usage).toMatchObject({ status: 200, body: { data: [] } });
  });

  test('of no team may do nothing', async () => {
    const { token } = await owner('POST', '/keys', { name: fresh(), role: 'team_admin' });
    tokens.set('stray', String(token));
    for (const id of ['listTeams', 'listUsers', 'createKey'] as const)
      await expectRefusal('stray', id, await REQUESTS[id]('mine'), ['forbidden']);
  });
});
