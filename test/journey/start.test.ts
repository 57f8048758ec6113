import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findExecutable } from '../../infra/servers/executable.ts';
import { freePort } from '../../infra/servers/port.ts';
import { Processes } from '../support/processes.ts';
import type { SluiceProcess } from '../support/processes.ts';
import { processesNaming } from '../support/processes-naming.ts';
import { until } from '../support/settled.ts';
import { parseSse, textOf } from '../support/sse.ts';

/** `sluice start` as a newcomer runs it: embedded servers, the simulated provider, nothing configured. */
const run = promisify(execFile);
const CLI = join(import.meta.dirname, '../../infra/sluice.ts');
const STARTED_WITHIN_MS = 60_000;

let processes: Processes;

interface Started {
  readonly process: SluiceProcess;
  readonly url: string;
  readonly dataDir: string;
  /** Pids of the embedded servers. */
  readonly servers: readonly number[];
  /** Everything that was printed. */
  readonly banner: string;
}

beforeAll(async () => {
  processes = await Processes.make();
});

afterEach(() => processes.killRunning());

afterAll(() => processes.killAll());

async function start(name: string, env: Record<string, string> = {}): Promise<Started> {
  const dataDir = join(processes.folder, name);
  const port = String(await freePort());
  const started = await processes.spawn('start', {
    cwd: processes.folder,
    env: { SLUICE_DATA_DIR: dataDir, SLUICE_PORT: port, ...env },
  });
  const nats = started.logged('nats-server started', STARTED_WITHIN_MS);
  const postgres = started.logged('postgres started', STARTED_WITHIN_MS);
  await started.said(/Then see what it cost/, STARTED_WITHIN_MS);
  const servers = [(await nats)['pid'], (await postgres)['pid']].map(Number);
  const banner = started.lines.filter((line) => !line.startsWith('{')).join('\n');
  const url = /Address\s+(\S+)/.exec(banner)?.[1] ?? '';
  return { process: started, url, dataDir, servers, banner };
}

/** The key that a first start shows. */
function keyOf({ banner }: Started): string {
  return /API key\s+(sk-\S+)/.exec(banner)?.[1] ?? '';
}

function chat({ url }: Pick<Started, 'url'>, key: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'simulated/lorem', messages: [{ role: 'user', content: 'Hello!' }], ...body }),
    ...(signal === undefined ? {} : { signal }),
  });
}

interface UsageJson {
  readonly total: { readonly attempts: number; readonly [field: string]: unknown };
}

/** `sluice usage --json`, as a script reads it. */
async function usage(dataDir: string): Promise<UsageJson> {
  const { PATH = '', HOME = '' } = process.env;
  const { stdout } = await run(process.execPath, [CLI, 'usage', '--json', '--data-dir', dataDir], {
    cwd: processes.folder,
    env: { PATH, HOME },
  });
  return JSON.parse(stdout) as UsageJson;
}

async function untilUsed(dataDir: string, attempts: number): Promise<UsageJson> {
  let last: UsageJson = { total: { attempts: 0 } };
  const isThere = async (): Promise<boolean> => (last = await usage(dataDir)).total.attempts >= attempts;
  await until(isThere, 15_000, () => JSON.stringify(last));
  return last;
}

/** The command of the banner, as it would be pasted: by curl itself where there is one. */
async function paste({ banner }: Started): Promise<string> {
  const command = /curl -N[\s\S]*?}'/.exec(banner)?.[0] ?? '';
  if ((await findExecutable('curl', process.env)) !== undefined) {
    return (await run('sh', ['-c', command], { timeout: 20_000 })).stdout;
  }
  const [, url = '', authorization = '', body = ''] =
    /-N (\S+)[\s\S]*"Authorization: ([^"]+)"[\s\S]*-d '(.*)'$/.exec(command) ?? [];
  const headers = { authorization, 'content-type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body })).text();
}

async function expectNothingLeft(dataDir: string): Promise<void> {
  let left: readonly string[] = [];
  await until(
    async () => (left = await processesNaming(dataDir)).length === 0,
    10_000,
    () => left.join('\n'),
  );
}

describe('started in an empty folder', { timeout: 120_000 }, () => {
  test('what the banner says works: the pasted call streams, its cost is told, Ctrl-C lets a stream finish and leaves nothing', async () => {
    const gateway = await start('first');
    expect(keyOf(gateway)).toMatch(/^sk-sluice-\S{20,}$/);
    const { chunks, isDone } = parseSse(await paste(gateway));
    expect({ isDone, hasText: textOf(chunks).length > 0 }).toEqual({ isDone: true, hasText: true });
    const { total } = await untilUsed(gateway.dataDir, 1);
    expect(total).toMatchObject({ attempts: 1, errors: 0 });
    expect(Number(total['costUsd'])).toBeGreaterThan(0);

    const open = await chat(gateway, keyOf(gateway), { stream: true });
    const text = open.text();
    gateway.process.signal('SIGINT');
    expect(parseSse(await text)).toMatchObject({ isDone: true, errors: [] });
    expect(await gateway.process.exited).toBe('exit code 0');
    await expectNothingLeft(gateway.dataDir);
  });

  test('killed, and started again on its data: everything is there; NATS and Postgres killed: they come back', async () => {
    const killed = await start('second');
    const key = keyOf(killed);
    await (await chat(killed, key, {})).text();
    await untilUsed(killed.dataDir, 1);
    await killed.process.kill9();

    const gateway = await start('second');
    expect(gateway.banner).toContain('made at an earlier start');
    expect((await chat(gateway, key, {})).status).toBe(200);
    await untilUsed(gateway.dataDir, 2);

    // A second gateway on the same data is refused, and leaves the first alone.
    const second = await processes.spawn('start', {
      cwd: processes.folder,
      env: { SLUICE_DATA_DIR: gateway.dataDir, SLUICE_PORT: String(await freePort()) },
    });
    expect(await second.exited).toBe('exit code 1');
    expect(second.lines.join('\n')).toMatch(/is in use by process \d+; stop that one first/);
    expect((await chat(gateway, key, {})).status).toBe(200);

    for (const [index, server] of ['nats-server', 'postgres'].entries()) {
      process.kill(gateway.servers[index] ?? 0, 'SIGKILL');
      const again = gateway.process.logged('embedded server runs again');
      expect((await again)['server'], server).toBeDefined();
      const isServed = async (): Promise<boolean> => (await chat(gateway, key, {})).status === 200;
      await until(isServed, 15_000, () => `served after ${server} was killed`);
    }
    await untilUsed(gateway.dataDir, 5);
    expect(await gateway.process.term()).toBe('exit code 0');
    await expectNothingLeft(gateway.dataDir);
  });

  test('two side by side, each with a port and a folder of its own', async () => {
    const [one, other] = await Promise.all([start('one'), start('other')]);
    const answers = await Promise.all([one, other].map((gateway) => chat(gateway, keyOf(gateway), {})));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect((await chat(one, keyOf(other), {})).status).toBe(401);
    await Promise.all([one, other].map((gateway) => gateway.process.term()));
    await Promise.all([one, other].map(({ dataDir }) => expectNothingLeft(dataDir)));
  });

  test('a port that is taken is said so, and nothing stays behind', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const dataDir = join(processes.folder, 'taken');
    const env = { SLUICE_DATA_DIR: dataDir, SLUICE_PORT: String(port) };
    const started = await processes.spawn('start', { cwd: processes.folder, env });
    expect(await started.exited).toBe('exit code 1');
    expect(started.lines.join('\n')).toContain(`port ${port} is taken by another program`);
    await expectNothingLeft(dataDir);
    await expect(readFile(join(dataDir, 'gateway.json'))).rejects.toThrow('ENOENT');
    await new Promise((resolve) => taken.close(resolve));
  });
});
