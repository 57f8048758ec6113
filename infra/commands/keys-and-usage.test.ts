import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../services/ledger/database/database.ts';
import { hashOfToken } from '../../services/ledger/principals/keys.ts';
import { migrate } from '../../services/ledger/database/migrate.ts';
import { insertEvents } from '../../services/ledger/recording/record.ts';
import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import { RulesChanged } from '../../shared/messages/rules.ts';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import { RULES_CHANGED } from '../../shared/subjects.ts';
import { freshNats } from '../../test/support/fresh.ts';
import { startPostgres } from '../servers/postgres.ts';
import { writeRunningGateway } from '../running-gateway.ts';
import { runCli } from './testing/run-cli.ts';
import type { CliResult } from './testing/run-cli.ts';

// One data folder, in this order: making one takes most of a second.
const log = createLog('silent', 'test');
let cwd: string;
const sluice = (args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(args, { cwd, env });

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-keys-'));
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

interface Created {
  readonly id: string;
  readonly token: string;
  readonly prefix: string;
}

test(
  'keys are made, listed and revoked in the data folder’s own Postgres, with no gateway running',
  { timeout: 60_000 },
  async () => {
    const first = await sluice(['keys', 'create', '--name', 'alice', '--team', 'web']);
    expect(first.code).toBe(0);
    // What a script takes is the token and nothing else; the words are for people.
    expect(first.stdout).toMatch(/^sk-sluice-[\w-]{43}\n$/);
    expect(first.stderr).toContain('shown this once');

    const second = await sluice(['keys', 'create', '--name', 'root', '--admin', '--json']);
    const root = JSON.parse(second.stdout) as Created;
    expect(root).toMatchObject({ name: 'root', team: null, role: 'owner', isAdmin: true, overrides: 'all' });

    const narrow = await sluice(['keys', 'create', '--name', 'narrow', '--overrides', 'strategy, timeout', '--json']);
    expect(JSON.parse(narrow.stdout)).toMatchObject({ overrides: ['strategy', 'timeout'] });
    await sluice(['keys', 'create', '--name', 'bound', '--overrides', 'none']);
    const luck = await sluice(['keys', 'create', '--name', 'lucky', '--overrides', 'strategy,luck']);
    expect(luck.stderr).toContain('"luck" is not one of all, none, strategy,');
    expect(luck.code).not.toBe(0);

    const taken = await sluice(['keys', 'create', '--name', 'alice']);
    expect(taken).toMatchObject({ code: 1, stdout: '', stderr: 'sluice: A key named "alice" exists already.\n' });

    const revoked = await sluice(['keys', 'revoke', `${root.prefix}…`, '--json']);
    expect(JSON.parse(revoked.stdout)).toMatchObject({
      id: root.id,
      announced: false,
      note: expect.stringContaining('nobody to tell') as string,
    });
    expect(revoked.stdout).not.toContain(hashOfToken(root.token));

    const again = await sluice(['keys', 'revoke', 'root']);
    expect(again).toMatchObject({ code: 1, stderr: 'sluice: The key "root" is revoked already.\n' });

    const listed = await sluice(['keys', 'list'], { COLUMNS: '200' });
    const lines = listed.stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^name +key +team +role +overrides +status +created +id$/);
    expect(lines[1]).toMatch(/^alice +sk-sluice-\S{4}… +web +client +all +live /);
    expect(lines.find((line) => line.startsWith('narrow'))).toMatch(/ +client +strategy,timeout +live /);
    expect(lines.find((line) => line.startsWith('bound'))).toMatch(/ +client +none +live /);
    expect(lines[2]).toMatch(/^root +sk-sluice-\S{4}… +- +owner +all +revoked \d{4}-\d\d-\d\d /);
  },
);

test(
  'a key is bound, shown, updated, rotated, blocked and unblocked, and so is a scope',
  { timeout: 180_000 },
  async () => {
    const postgres = await startPostgres({ dataDir: join(cwd, '.sluice'), log });
    const env = { DATABASE_URL: postgres.url };
    const json = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { code, stdout, stderr } = await sluice([...args, '--json'], env);
      if (code !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    try {
      const bounds = [
        '--models',
        'openai/*,gpt-4o',
        '--networks',
        '10.0.0.0/8',
        '--may-name',
        'none',
        '--regions',
        'eu',
      ];
      const whose = [
        '--user',
        'ada',
        '--organisation',
        'acme',
        '--role',
        'viewer',
        '--tag',
        'env=test',
        '--tag',
        'a=b=c',
      ];
      const made = await json('keys', 'create', '-n', 'ci', ...bounds, ...whose, '--expires', '2100-01-01');
      const bound = {
        ...{ models: ['openai/*', 'gpt-4o'], networks: ['10.0.0.0/8'], mayName: [], regions: ['eu'], routes: null },
        ...{ user: 'ada', organisation: 'acme', role: 'viewer', tags: { env: 'test', a: 'b=c' } },
        ...{ expiresAt: '2100-01-01T00:00:00.000Z', isAdmin: false },
      };
      expect(made).toMatchObject(bound);
      const shown = await json('keys', 'show', String(made['token']));
      expect(shown).toMatchObject({ ...bound, id: made['id'] });
      expect(shown['token']).toBeUndefined();
      const lines = (await sluice(['keys', 'show', 'ci'], env)).stdout;
      expect(lines).toMatch(/^status +live until 2100-01-01$/m);
      expect(lines).toMatch(/^tags +a=b=c, env=test$|^tags +env=test, a=b=c$/m);

      const anew = ['--models', 'all', '--networks', 'none', '--expires', 'never', '--role', 'none', '--user', 'bob'];
      const updated = await json('keys', 'update', 'ci', ...anew, '--tag', 'env=', '--tag', 'b=2', '-n', 'ci-2');
      expect(updated).toMatchObject({
        ...{ ...bound, id: made['id'], name: 'ci-2', models: null, networks: [], expiresAt: null, role: null },
        ...{ user: 'bob', tags: { a: 'b=c', b: '2' }, announced: false },
      });
      expect(updated['tags']).not.toHaveProperty('env');
      const nothing = await sluice(['keys', 'update', 'ci-2'], env);
      expect(nothing).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing is named') as string });
      expect((await sluice(['keys', 'update', 'ci-2', '--networks', 'home'], env)).stderr).toContain('network');
      expect((await sluice(['keys', 'update', 'ci-2', '-n', 'ci'], env)).code).toBe(0);

      const rotated = await sluice(['keys', 'rotate', 'ci'], env);
      expect(rotated.stdout).toMatch(/^sk-sluice-[\w-]{43}\n$/);
      expect(rotated.stdout.trim()).not.toBe(made['token']);
      expect(rotated.stderr).toMatch(/The old one works until \d{4}/);
      expect((await sluice(['keys', 'rotate', 'ci', '--overlap', 'soon'], env)).code).toBe(2);

      expect((await sluice(['keys', 'block', 'ci'], env)).stdout).toContain('Blocked the key "ci"');
      expect((await sluice(['keys', 'list'], { ...env, COLUMNS: '200' })).stdout).toMatch(/^ci .* blocked \d{4}/m);
      expect((await json('keys', 'unblock', 'ci'))['blockedAt']).toBeNull();

      const block = ['block', 'team:search', '--reason', 'runaway'];
      expect((await sluice(block, env)).stdout).toBe('Blocked team:search.\n');
      expect(await json('block', 'key:ci', '--reason', 'leaked')).toMatchObject({ scope: `key:${String(made['id'])}` });
      const listed = (await json('blocks')) as unknown as object[];
      expect(listed).toMatchObject([{ reason: 'leaked' }, { scope: 'team:search', reason: 'runaway' }]);
      expect((await sluice(['unblock', 'team:search'], env)).stdout).toBe('Unblocked team:search.\n');
      expect((await sluice(['unblock', 'team:search'], env)).stderr).toContain('team:search is not blocked');
      expect((await sluice(['block', 'search', '--reason', 'r'], env)).stderr).toContain('"search" is no scope');

      const elsewhere = { ...env, SLUICE_SECRET: 'another secret than that' };
      const refused = await sluice(['keys', 'create', '--name', 'lost'], elsewhere);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain('kept under another secret than that of SLUICE_SECRET');
    } finally {
      await postgres.stop();
    }
  },
);

test('keys of the configuration are listed, and the way to end one is named', async () => {
  const env = { SLUICE_ADMIN_KEY: 'sk-sluice-of-the-environment' };
  const listed = JSON.parse((await sluice(['keys', 'list', '--json'], env)).stdout) as unknown[];
  expect(listed).toContainEqual(expect.objectContaining({ name: 'admin', source: 'configuration' }));
  const { code, stderr } = await sluice(['keys', 'revoke', 'admin'], env);
  expect(code).toBe(1);
  expect(stderr).toContain('take it out of auth');
});

test(
  'with a gateway running, its database is used and every ingress hears of a revoked key',
  { timeout: 60_000 },
  async () => {
    const dataDir = join(cwd, '.sluice');
    const postgres = await startPostgres({ dataDir, log });
    const nats = await freshNats();
    const bus = await Bus.connect({ url: nats.url, name: 'test', log });
    try {
      // This process stands for the gateway.
      await writeRunningGateway(dataDir, {
        url: 'http://127.0.0.1:1',
        natsUrl: nats.url,
        databaseUrl: postgres.url,
        startedAt: new Date().toISOString(),
      });
      const heard = new Promise<RulesChanged>((resolve) => bus.onMessage(RULES_CHANGED, RulesChanged, resolve));
      await bus.flush();
      const { id } = JSON.parse((await sluice(['keys', 'create', '--name', 'bob', '--json'])).stdout) as Created;
      const { code, stdout, stderr } = await sluice(['keys', 'revoke', 'bob']);
      expect(code).toBe(0);
      expect(stdout).toContain('Revoked the key "bob"');
      expect(stderr).toContain('Every ingress was told');
      expect(await heard).toEqual({ v: 1, revision: expect.any(Number) as number, keys: [id], scopes: [] });

      await bus.close();
      await nats.stop();
      await sluice(['keys', 'create', '--name', 'carol']);
      const unheard = await sluice(['keys', 'revoke', 'carol']);
      expect(unheard.code).toBe(0);
      expect(unheard.stderr).toContain('could not be told');
    } finally {
      await bus.close();
      await nats.stop();
      await postgres.stop();
      await rm(join(dataDir, 'gateway.json'), { force: true });
    }
  },
);

test(
  'usage sums exactly, in the groups that are asked for, within the time that is asked for',
  { timeout: 60_000 },
  async () => {
    const postgres = await startPostgres({ dataDir: join(cwd, '.sluice'), log });
    const env = { DATABASE_URL: postgres.url };
    try {
      expect((await sluice(['usage'], env)).stdout).toContain('Nothing was used in this time.');
      await migrate(postgres.url, log);
      const db = openDatabase({ url: postgres.url, log });
      const now = Date.now();
      await insertEvents(db, [
        usage('a.1', { costNanoUsd: 9_007_199_254_740_991, startedEpochMs: now }),
        usage('b.1', { costNanoUsd: 2, startedEpochMs: now, isEstimated: true, reason: 'fallback', lane: 'batch' }),
        usage('c.1', { costNanoUsd: null, startedEpochMs: now, keyId: 'k2', keyName: 'bob', error: 'upstream_failed' }),
        usage('d.1', { costNanoUsd: 5, startedEpochMs: now - 3 * 86_400_000, keyId: 'k2', keyName: 'bob' }),
      ]);
      await db.destroy();

      const day = JSON.parse((await sluice(['usage', '--json'], env)).stdout) as { rows: unknown[]; total: unknown };
      expect(day.rows).toEqual([
        expect.objectContaining({
          key: 'alice',
          attempts: 2,
          costUsd: '9007199.254740993',
          costNanoUsd: '9007199254740993',
        }),
        expect.objectContaining({ key: 'bob', attempts: 1, errors: 1, attemptsWithUnknownPrice: 1 }),
      ]);
      expect(day.total).toMatchObject({ attempts: 3, costUsd: '9007199.254740993' });

      const week = JSON.parse(
        (await sluice(['usage', '--since', '7d', '--by', 'key', '--key', 'bob', '--json'], env)).stdout,
      ) as { total: unknown };
      expect(week.total).toMatchObject({ attempts: 2, costNanoUsd: '5' });

      const why = JSON.parse((await sluice(['usage', '--by', 'reason,variant,route,lane', '--json'], env)).stdout) as {
        rows: unknown[];
      };
      expect(why.rows).toEqual([
        expect.objectContaining({ reason: null, variant: null, route: null, lane: 'interactive', attempts: 2 }),
        expect.objectContaining({ reason: 'fallback', lane: 'batch', attempts: 1 }),
      ]);

      const narrow = (await sluice(['usage'], { ...env, COLUMNS: '60' })).stdout.split('\n');
      for (const line of narrow.filter((line) => /alice|bob|total/.test(line)))
        expect(line.length).toBeLessThanOrEqual(60);
      expect(narrow.find((line) => line.startsWith('bob'))).toContain('unknown†');
      expect(narrow).toContain('* 1 attempt: tokens are an estimate of ours, the provider told none.');

      const last = await sluice(['usage', '--last', '2'], { ...env, COLUMNS: '200' });
      expect(
        last.stdout
          .trimEnd()
          .split('\n')
          .filter((line) => /alice|bob/.test(line)),
      ).toHaveLength(2);
      expect(last.stdout).toContain('upstream_failed');
      expect(last.stdout).toMatch(/ reason .*\n.*(\n.*)? fallback /);
    } finally {
      await postgres.stop();
    }
  },
);

function usage(attemptId: string, fields: Partial<UsageRecorded>): UsageRecorded {
  return {
    ...{
      v: 1,
      attemptId,
      requestId: `req_${attemptId}`,
      attempt: 1,
      source: 'worker',
      startedEpochMs: 0,
      keyId: 'k1',
      keyName: 'alice',
      team: null,
    },
    ...{
      model: 'simulated/lorem',
      route: null,
      deployment: 'simulated/lorem',
      provider: 'simulated',
      upstreamModel: 'lorem',
      endpoint: 'chat',
    },
    ...{
      stream: false,
      inputTokens: 10,
      outputTokens: 20,
      cachedInputTokens: 0,
      reasoningTokens: 0,
      isEstimated: false,
      costNanoUsd: 0,
    },
    ...{
      queueMs: 0,
      ttftMs: 100,
      durationMs: 200,
      upstreamStatus: 200,
      finish: 'stop',
      error: null,
      worker: 'w',
      ingress: 'i',
      traceparent: null,
    },
    ...fields,
  };
}
