import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freshDatabase, freshNats } from '../../test/support/fresh.ts';
import type { TestDatabase } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { startCli } from './testing/run-cli.ts';
import type { RunningCli } from './testing/run-cli.ts';

const KEY = 'sk-sluice-of-the-test';
const CONFIG = `auth: { keys: [{ name: test, key: ${KEY} }] }\nserver: { port: 0 }\n`;
let cwd: string;
let nats: TestNats;
let database: TestDatabase;
let started: RunningCli[];

beforeEach(async () => {
  started = [];
  cwd = await mkdtemp(join(tmpdir(), 'sluice-services-'));
  await writeFile(join(cwd, 'sluice.yaml'), CONFIG);
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

async function untilReady(url: string): Promise<void> {
  await expect.poll(async () => (await fetch(`${url}/health/ready`)).status, { timeout: 20_000 }).toBe(200);
}

function post(url: string, body: object, signal: AbortSignal | null = null): Promise<Response> {
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' };
  return fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body), signal });
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
      // A worker is ready once the routers know of it.
      await untilReady(url);
      const paths = ['/health/live', '/health/ready', '/metrics', '/elsewhere'];
      const answers = await Promise.all(paths.map((path) => fetch(url + path)));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404]);
      expect(await answers[2]?.text()).toContain('process_cpu_user_seconds_total');
    }
    const url = await urlOf(ingress, 'url');
    await untilReady(url);
    const answer = await post(url, {
      model: 'simulated/echo',
      messages: [{ role: 'user', content: 'from process to process' }],
    });
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { content: expect.stringContaining('from process to process') as string } }],
    });

    for (const { child } of started) child.kill('SIGTERM');
    expect(await Promise.all(started.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
    for (const cli of started) expect(cli.stdout()).toMatch(/"signal":"SIGTERM","msg":"stopping"[^]*"msg":"stopped"/);
  },
);

test('a second signal ends the process at once', { timeout: 60_000 }, async () => {
  // A provider that never answers: there is something to drain, for as long as it takes.
  let asked: () => void = () => undefined;
  const wasAsked = new Promise<void>((resolve) => (asked = resolve));
  const provider = createServer(() => asked());
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const { port } = provider.address() as AddressInfo;
  await writeFile(
    join(cwd, 'sluice.yaml'),
    `${CONFIG}providers: { silent: { base_url: "http://127.0.0.1:${port}" } }\n`,
  );

  const [worker, ingress] = [start('worker'), start('ingress')];
  start('router');
  start('ledger');
  const url = await urlOf(ingress, 'url');
  await untilReady(url);
  const client = new AbortController();
  const answer = post(
    url,
    { model: 'silent/any', messages: [{ role: 'user', content: 'Hello?' }] },
    client.signal,
  ).catch(() => 'gone');
  await wasAsked;
  worker.child.kill('SIGTERM');
  await worker.says(/"msg":"stopping"/);
  worker.child.kill('SIGINT');
  expect(await worker.exited).toBe(130);
  client.abort();
  await answer;
  provider.closeAllConnections();
  await new Promise((resolve) => provider.close(resolve));
});

test('a metrics port that is taken is said, and the process ends', async () => {
  const first = start('router', '--metrics-port', '0');
  const { port } = new URL(await urlOf(first, 'metrics'));
  const second = start('router', '--metrics-port', port);
  expect(await second.exited).toBe(1);
  expect(second.stderr()).toContain(`port ${port} is taken`);
});
