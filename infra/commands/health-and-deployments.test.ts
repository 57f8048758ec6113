import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HealthPicture } from '../../services/ingress/core/health-picture.ts';
import { Bus } from '../../shared/bus.ts';
import { ForcedStates } from '../../shared/forced-states.ts';
import { createLog } from '../../shared/log.ts';
import type { LedgerBeat, RouterBeat, WorkerBeat } from '../../shared/messages/beat.ts';
import { beatSubject } from '../../shared/subjects.ts';
import { freshNats } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { writeRunningGateway } from '../running-gateway.ts';
import { runCli, startCli } from './testing/run-cli.ts';
import type { CliResult } from './testing/run-cli.ts';

// In this order: what one test forces, the next one sees.
let cwd: string;
let nats: TestNats;
let bus: Bus;
let beating: NodeJS.Timeout;
let isBroken = false;
const sluice = (args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(args, { cwd, env: { NATS_URL: nats.url, ...env } });

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-health-'));
  await writeFile(
    join(cwd, 'sluice.yaml'),
    'providers:\n  mine: { base_url: "http://127.0.0.1:9/v1", models: { gpt-a: {}, gpt-b: {} } }\n',
  );
  nats = await freshNats();
  bus = await Bus.connect({ url: nats.url, name: 'test', log: createLog('silent', 'test') });
  // This process stands for a gateway.
  beating = setInterval(beat, 100);
});

afterAll(async () => {
  clearInterval(beating);
  await bus.close();
  await nats.stop();
  await rm(cwd, { recursive: true, force: true });
});

function beat(): void {
  const pools = ['mine', 'simulated'].map((pool) => ({ pool, capacity: 8, inFlight: 2 }));
  const breaker = isBroken ? 'open' : 'closed';
  const worker: WorkerBeat = {
    ...{ v: 1, worker: 'wrk_1', isDraining: false, pools },
    deployments: [{ deployment: 'mine/gpt-a', inFlight: 2, breaker, ttftMs: 120, p95Ms: 300, failureRatio: 0.01 }],
  };
  const router: RouterBeat = { v: 1, router: 'rtr_1', isDraining: false, spent: [], waiting: { mine: 5 } };
  const ledger: LedgerBeat = { v: 1, ledger: 'ldg_1', postgres: null, backlog: 0 };
  bus.publish(beatSubject('worker', 'wrk_1'), worker);
  bus.publish(beatSubject('router', 'rtr_1'), router);
  bus.publish(beatSubject('ledger', 'ldg_1'), ledger);
}

test('health: one round of heartbeats as tables, and 0 when all is well', async () => {
  const { code, stdout, stderr } = await sluice(['health']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^mine\/gpt-a +closed +2 +120 ms +300 ms +1 % +- +-$/m);
  expect(stdout).toMatch(/^mine +1 +2 of 8 +5$/m);
  expect(stdout).toContain('1 router · 1 worker · 1 ledger, 0 usage events behind\nAll is well.');
});

test('deployments: drained with a note, seen by all, and enabled again', { timeout: 60_000 }, async () => {
  const service = new ForcedStates();
  await service.start(bus);
  const drained = await sluice(['deployments', 'drain', 'mine/gpt-a', '--note', 'slow today']);
  expect(drained).toMatchObject({ code: 0, stderr: '' });
  expect(drained.stdout).toContain('mine/gpt-a is drained');
  await expect.poll(() => service.stateOf('mine/gpt-a')).toBe('drained');

  const list = await sluice(['deployments', 'list']);
  expect(list.code).toBe(0);
  expect(list.stdout).toMatch(/^mine\/gpt-a +drained +2 +slow today \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\)$/m);
  expect(list.stdout).toMatch(/^mine\/gpt-b +closed +0$/m);
  // Drained is as wanted; disabled is to be seen to.
  expect((await sluice(['health'])).code).toBe(0);
  await sluice(['deployments', 'disable', 'mine/gpt-a']);
  const disabled = await sluice(['health']);
  expect(disabled.code).toBe(1);
  expect(disabled.stdout).toContain('amiss  mine/gpt-a is disabled');

  const enabled = await sluice(['deployments', 'enable', 'mine/gpt-a', '--json']);
  expect(JSON.parse(enabled.stdout)).toEqual({
    deployment: 'mine/gpt-a',
    state: 'enabled',
    before: 'disabled',
    note: null,
  });
  await expect.poll(() => service.stateOf('mine/gpt-a')).toBeUndefined();
  expect((await sluice(['deployments', 'enable', 'mine/gpt-a'])).stdout).toContain('was not forced');
  service.stop();
});

test('health --json, and 1 when a breaker is open', async () => {
  isBroken = true;
  const { code, stdout } = await sluice(['health', '--json']);
  isBroken = false;
  const seen = JSON.parse(stdout) as HealthPicture & { ok: boolean; troubles: string[] };
  expect({ code, ok: seen.ok, troubles: seen.troubles }).toEqual({
    code: 1,
    ok: false,
    troubles: ['mine/gpt-a is open'],
  });
  expect(seen.deployments.find(({ deployment }) => deployment === 'mine/gpt-a')).toMatchObject({ state: 'open' });
});

test('health --watch shows it anew until Ctrl-C', async () => {
  const cli = startCli(['health', '--watch'], { cwd, env: { NATS_URL: nats.url } });
  await cli.says(/All is well\.[^]*All is well\./);
  cli.child.kill('SIGINT');
  expect(await cli.exited).toBe(0);
});

test.each([
  {
    args: ['deployments', 'drain', 'mine/gpt-c'],
    says: 'there is no deployment `mine/gpt-c`: did you mean `mine/gpt-a`?',
  },
  { args: ['deployments', 'enable', 'nobody/at-all'], says: '`sluice deployments list` lists them' },
])('$args is refused: $says', async ({ args, says }) => {
  const { code, stdout, stderr } = await sluice(args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain(says);
});

test('without NATS_URL the gateway that runs on the data folder is found', async () => {
  const data = join(cwd, '.sluice');
  const env = { NATS_URL: '' };
  const none = await sluice(['health'], env);
  expect(none).toMatchObject({ code: 1, stdout: '' });
  expect(none.stderr).toContain('no gateway runs on');
  const startedAt = new Date().toISOString();
  await writeRunningGateway(data, {
    url: 'http://127.0.0.1:1',
    natsUrl: nats.url,
    databaseUrl: 'postgres://x',
    startedAt,
  });
  expect((await sluice(['health'], env)).code).toBe(0);
});

test('a broker without anybody on it is not well, and one that is away is named', async () => {
  const empty = await freshNats();
  const alone = await sluice(['health'], { NATS_URL: empty.url });
  expect(alone.code).toBe(1);
  for (const role of ['worker', 'router', 'ledger']) expect(alone.stdout).toContain(`no ${role} is heard of`);
  await empty.stop();
  const away = await sluice(['health'], { NATS_URL: 'nats://user:secret@127.0.0.1:1' });
  expect(away.code).toBe(1);
  expect(away.stderr).toContain('NATS does not answer at 127.0.0.1:1');
  expect(away.stderr).not.toContain('secret');
});
