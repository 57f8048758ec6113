import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identify, runsWith, stopLeftover } from './identity.ts';
import { acquireLock, LockedError, withLock } from './lock.ts';
import { spawnServer } from './process.ts';
import type { ServerCommand } from './process.ts';
import { readOrCreateSecret } from './secret.ts';

const log = { debug: () => undefined, warn: () => undefined };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-process-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function node(script: string): ServerCommand {
  return { name: 'script', command: process.execPath, args: ['-e', script], deathSignal: 'SIGTERM', log };
}

test('stop escalates to SIGKILL when a server ignores the polite signal', async () => {
  const server = await spawnServer(
    node("process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1e6)"),
  );
  await expect.poll(() => server.lastLines()).toBe('up');
  await server.stop(['SIGTERM', 50]);
  expect(server.ending).toBe('signal SIGKILL');
  expect(await identify(server.pid)).toBeUndefined();
});

test('what a server said before it ended is kept, up to the last 50 lines', async () => {
  const server = await spawnServer(node('for (let i = 1; i <= 60; i++) console.error(i); process.exitCode = 3'));
  expect(await server.exited).toBe('exit code 3');
  expect(server.lastLines().split('\n')).toEqual(Array.from({ length: 50 }, (_, index) => String(index + 11)));
});

test('a program that cannot be run is an error that names it', async () => {
  const missing = join(folder, 'no-such-server');
  const run = spawnServer({ ...node(''), command: missing }).then(async (server) => {
    await server.exited;
    throw new Error(server.lastLines());
  });
  await expect(run).rejects.toThrow('no-such-server');
});

test.runIf(process.platform === 'linux')('a server dies with its parent, even by kill -9', async () => {
  const script = `
    import { spawnServer } from ${JSON.stringify(join(import.meta.dirname, 'process.ts'))};
    const server = await spawnServer({ name: 's', command: 'sleep', args: ['300'], deathSignal: 'SIGTERM', log: { debug() {} } });
    console.log(server.pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (text) => resolve(Number(text))));
  expect((await identify(pid))?.command).toContain('sleep');
  parent.kill('SIGKILL');
  await expect.poll(() => identify(pid)).toBeUndefined();
});

test('a leftover is stopped only if its arguments show that it is ours', async () => {
  const child = spawn('sleep', ['301']);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const pid = child.pid ?? 0;
  await expect.poll(async () => (await identify(pid))?.command).toBe('sleep 301');
  expect(await stopLeftover({ name: 'sleep', pid, words: ['30'] }, [['SIGTERM', 1_000]], log)).toBe(false);
  expect(await identify(pid)).toBeDefined();
  expect(await stopLeftover({ name: 'sleep', pid, words: ['301'] }, [['SIGTERM', 1_000]], log)).toBe(true);
  await exited;
});

test('an argument counts only whole', () => {
  const identity = { pid: 7, startedAt: '1', command: '/bin/nats-server -c /data/nats.conf' };
  expect(runsWith(identity, ['-c', '/data/nats.conf'])).toBe(true);
  expect(runsWith(identity, ['/data/nats'])).toBe(false);
});

test('a lock admits one, and the next after its release', async () => {
  const path = join(folder, 'lock');
  const held = await acquireLock(path, 'the data folder');
  await expect(acquireLock(path, 'the data folder')).rejects.toThrow(
    `the data folder is in use by process ${process.pid}`,
  );
  await held.release();
  const next = await acquireLock(path, 'the data folder');
  await held.release(); // late, and not its own any more
  await expect(acquireLock(path, 'the data folder')).rejects.toThrow(LockedError);
  await next.release();
});

test.each([
  { content: '', why: 'emptied by a crash' },
  { content: JSON.stringify({ pid: 2 ** 22 + 1, startedAt: '5' }), why: 'of a process that is gone' },
  { content: JSON.stringify({ pid: process.pid, startedAt: '5' }), why: 'of an earlier process with our pid' },
])('a stale lock blocks nobody: $why', async ({ content }) => {
  const path = join(folder, 'stale');
  await writeFile(path, content);
  await utimes(path, 0, 0); // an empty one just made would be one being written
  await withLock(path, 5_000, async () => {
    expect(await readFile(path, 'utf8')).toContain(String(process.pid));
  });
});

test('a secret is made once and readable for its owner only', async () => {
  const path = join(folder, 'password');
  const secret = await readOrCreateSecret(path);
  expect(secret).toMatch(/^[0-9a-f]{48}$/);
  expect(await readOrCreateSecret(path)).toBe(secret);
});
