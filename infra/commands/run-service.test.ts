import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freshDatabase, freshNats } from '../../test/support/fresh.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { startCli } from './testing/run-cli.ts';
import type { RunningCli } from './testing/run-cli.ts';

const KEY = 'sk-sluice-of-the-test';
let cwd: string;
let nats: TestNats;
let database: TestDatabase;
let started: RunningCli[];

beforeEach(async () => {
  started = [];
  cwd = await mkdtemp(join(tmpdir(), 'sluice-services-'));
  await writeFile(join(cwd, 'sluice.yaml'), `auth: { keys: [{ name: test, key: ${KEY} }] }\nserver: { port: 0 }\n`);
  [nats, database] = await Promise.all([freshNats(), freshDatabase()]);
});
afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.map(({ exited }) => exited));
  await Promise.all([nats.stop(), database.drop()]);
  await rm(cwd, { recursive: true, force: true });
});

function start(...args: string[]): RunningCli {
  const cli = startCli(args, { cwd, env: { NATS_URL: nats.url, DATABASE_URL: database.url } });
  started.push(cli);
  return cli;
}

/** The URL under that name in the line that says `ready`. */
async function urlOf(cli: RunningCli, name: 'url' | 'metrics'): Promise<string> {
  const [line] = await cli.says(/^.*"msg":"ready".*$/m);
  return (JSON.parse(line) as Record<string, string>)[name] ?? '';
}

test(
  'four processes are one gateway; each says when it is ready, shows its health, and drains on SIGTERM',
  { timeout: 60_000 },
  async () => {
    const inner = [
      start('ledger', '--metrics-port', '0'),
      start('router', '--metrics-port', '0'),
      start('worker', '--metrics-port', '0'),
    ];
    const ingress = start('ingress');
    for (const url of await Promise.all(inner.map((cli) => urlOf(cli, 'metrics')))) {
      const paths = ['/health/live', '/health/ready', '/metrics', '/elsewhere'];
      const answers = await Promise.all(paths.map((path) => fetch(url + path)));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404]);
      expect(await answers[2]?.text()).toContain('process_cpu_user_seconds_total');
    }
    const url = await urlOf(ingress, 'url');
    await expect.poll(async () => (await fetch(`${url}/health/ready`)).status, { timeout: 10_000 }).toBe(200);
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'simulated/echo',
        messages: [{ role: 'user', content: 'from process to process' }],
      }),
    });
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { content: expect.stringContaining('from process to process') as string } }],
    });

    for (const { child } of started) child.kill('SIGTERM');
    expect(await Promise.all(started.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
    for (const cli of started) expect(cli.stdout()).toMatch(/"signal":"SIGTERM","msg":"stopping"[^]*"msg":"stopped"/);
  },
);

test('a second signal ends the process at once', { timeout: 30_000 }, async () => {
  const [worker, ingress] = [start('worker'), start('ingress')];
  start('router');
  start('ledger');
  const url = await urlOf(ingress, 'url');
  await expect.poll(async () => (await fetch(`${url}/health/ready`)).status, { timeout: 10_000 }).toBe(200);
  // `lorem` takes its time: there is something to drain.
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'simulated/lorem', stream: true, messages: [{ role: 'user', content: 'Hello!' }] }),
  });
  expect(answer.status).toBe(200);
  worker.child.kill('SIGTERM');
  await worker.says(/"msg":"stopping"/);
  worker.child.kill('SIGINT');
  expect(await worker.exited).toBe(130);
  await answer.body?.cancel();
});

test('a metrics port that is taken is said, and the process ends', async () => {
  const first = start('router', '--metrics-port', '0');
  const { port } = new URL(await urlOf(first, 'metrics'));
  const second = start('router', '--metrics-port', port);
  expect(await second.exited).toBe(1);
  expect(second.stderr()).toContain(`port ${port} is taken`);
});
