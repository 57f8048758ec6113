import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import { RulesChanged } from '../../shared/messages/rules.ts';
import { RULES_CHANGED } from '../../shared/subjects.ts';
import { freshDatabase, freshNats } from '../../test/support/fresh.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import { runCli } from './testing/run-cli.ts';
import type { CliResult } from './testing/run-cli.ts';

// One database, in this order.
const log = createLog('silent', 'test');
const TIMEOUT = 60_000;
let cwd: string;
let database: TestDatabase;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-admin-'));
  database = await freshDatabase();
});
afterAll(async () => {
  await database.drop();
  await rm(cwd, { recursive: true, force: true });
});

const sluice = (args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(args, { cwd, env: { DATABASE_URL: database.url, COLUMNS: '200', ...env } });

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await sluice([...args, '--json']);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout) as Record<string, unknown>;
}

test('teams and users are made, listed, changed and deleted', { timeout: TIMEOUT }, async () => {
  expect(await json('organisations', 'create', 'acme', '--name', 'Acme Ltd.')).toMatchObject({ name: 'Acme Ltd.' });
  const team = await json('teams', 'create', 'search', '-o', 'acme', '--tags', 'floor=2', '--tags', 'a=b');
  expect(team).toMatchObject({ id: 'search', organisation: 'acme', tags: { floor: '2', a: 'b' }, version: 1 });
  await json('users', 'create', 'ada', '--team', 'search', '--email', 'ada@example.com');

  const listed = await sluice(['users', 'list', '--team', 'search']);
  expect(listed.stdout).toMatch(
    /^id +name +team +email +tags +created\nada +ada +search +ada@example.com +- +2\S+Z\n$/,
  );
  expect((await sluice(['teams', 'delete', 'search'])).stderr).toContain('still has users');
  expect(await json('users', 'update', 'ada', '--team', 'none')).toMatchObject({
    team: null,
    email: 'ada@example.com',
  });
  expect((await sluice(['teams', 'delete', 'search'])).stdout).toBe('Deleted the team "search".\n');
  expect(await sluice(['teams', 'show', 'search'])).toMatchObject({
    ...{ code: 1, stdout: '', stderr: 'sluice: There is no team "search".\n' },
  });
});

test('every field at fault is told at once, and nothing is made', { timeout: TIMEOUT }, async () => {
  const { code, stderr } = await sluice(['users', 'create', 'a b', '--email', 'nobody']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^sluice: id: It must be .*\n +email: Invalid email address\.\n$|^sluice: email.*\n +id: /);
  expect((await sluice(['budgets', 'create', 'total', '--amount', 'much', '--per', 'day'])).code).toBe(2);
});

test('a budget is made, raised and looked at', { timeout: TIMEOUT }, async () => {
  const made = await json(
    'budgets',
    'create',
    'team:search',
    '--amount',
    '50',
    '--per',
    'day',
    '--on-limit',
    'queue:20s',
  );
  expect(made).toMatchObject({ amount: '50.00 USD', per: 'day', hard: true, on_limit: { queue: '20s' } });
  const id = String(made['id']);
  expect(await json('budgets', 'update', id, '--soft', '--alert-at', '90,10')).toMatchObject({
    ...{ hard: false, alert_at: [10, 90], amount: '50.00 USD' },
  });
  expect(await json('budgets', 'raise', id, '--by', '25 USD', '--until', '7d')).toMatchObject({
    raise: { by: '25.00 USD' },
  });
  const state = await sluice(['budgets', 'state', id]);
  expect(state.stdout).toMatch(/team:search +75\.00 USD +0\.00 USD +0\.00 USD +75\.00 USD +0\.00 USD +\d{4}-/);
  const rolling = await json('budgets', 'create', 'user:*', '--amount', '1 USD', '--per', '24h');
  expect(rolling).toMatchObject({ per: { rolling: '1d' } });
});

test('a limit is made and changed', { timeout: TIMEOUT }, async () => {
  const made = await json('limits', 'create', 'user:*', '--tokens', '1000', '--cost', '5 USD/1h');
  expect(made).toMatchObject({ tokens_per_minute: 1_000, cost: { amount: '5.00 USD', per: '1h' } });
  expect(await json('limits', 'update', String(made['id']), '--cost', 'none', '--concurrent', '3')).toMatchObject({
    ...{ tokens_per_minute: 1_000, cost: null, concurrent: 3 },
  });
});

test('what is done to keys and blocks is recorded, and no token with it', { timeout: TIMEOUT }, async () => {
  const env = { SLUICE_SECRET: 'a secret for tests alone' };
  const { stdout } = await sluice(['keys', 'create', '--name', 'bot'], env);
  const token = stdout.trim();
  expect((await sluice(['keys', 'rotate', 'bot', '--overlap', '0s'], env)).code).toBe(0);
  expect((await sluice(['keys', 'revoke', 'bot'], env)).code).toBe(0);
  expect((await sluice(['block', 'team:loud', '--reason', 'Too loud.'], env)).code).toBe(0);
  expect((await sluice(['unblock', 'team:loud'], env)).code).toBe(0);
  const records = await json('audit', 'list', '--limit', '5');
  expect(records).toMatchObject([
    { action: 'unblock', entity_id: 'team:loud', before: { reason: 'Too loud.' }, after: null },
    { action: 'block', before: null, after: { reason: 'Too loud.' } },
    { action: 'revokeKey', before: { status: 'live' }, after: { status: 'revoked' } },
    { action: 'rotateKey', before: { version: 1 }, after: { version: 2 } },
    { action: 'createKey', actor: `cli:${userInfo().username}`, before: null, after: { name: 'bot', status: 'live' } },
  ]);
  expect(token).toMatch(/^sk-sluice-/);
  expect(JSON.stringify(records)).not.toContain(token);
});

test('each change is told to the ingresses of the broker that is named', { timeout: TIMEOUT }, async () => {
  const nats = await freshNats();
  const bus = await Bus.connect({ url: nats.url, name: 'test', log });
  try {
    const heard = new Promise<RulesChanged>((resolve) => bus.onMessage(RULES_CHANGED, RulesChanged, resolve));
    await bus.flush();
    await sluice(['limits', 'create', 'team:loud', '--requests', '5'], { NATS_URL: nats.url });
    expect(await heard).toMatchObject({ revision: expect.any(Number) as number, scopes: ['team:loud'] });
  } finally {
    await bus.close();
    await nats.stop();
  }
});

test('who did what is listed, checked, and an edit of it found', { timeout: TIMEOUT }, async () => {
  const listed = await sluice(['audit', 'list', '--entity', 'team']);
  const lines = listed.stdout.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^# +at +actor +action +of +what$/);
  expect(lines[1]).toMatch(new RegExp(`cli:${userInfo().username} +deleteTeam +search`));
  expect(lines[2]).toMatch(/createTeam +search +.*organisation=acme/);

  const { count, head } = await json('audit', 'verify');
  expect(count).toBeGreaterThan(8);
  expect(await sluice(['audit', 'verify', '--head', String(head)])).toMatchObject({
    ...{ code: 0, stdout: `${String(count)} records are as written.\nhead ${String(head)}\n` },
  });

  const db = openDatabase({ url: database.url, log });
  await sql`alter table audit_records disable trigger append_only`.execute(db);
  await sql`update audit_records set actor = 'somebody' where sequence = 3`.execute(db);
  await db.destroy();
  const broken = await sluice(['audit', 'verify']);
  expect(broken.code).toBe(1);
  expect(broken.stdout).toMatch(
    /^BROKEN: record 3 was changed\. Up to there 2 records are as written\.\nlast [0-9a-f]{64}\n$/,
  );
});
