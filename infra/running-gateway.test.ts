import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readRunningGateway, removeRunningGateway, writeRunningGateway } from './running-gateway.ts';

const ADDRESSES = {
  url: 'http://127.0.0.1:1',
  natsUrl: 'nats://127.0.0.1:2',
  databaseUrl: 'postgres://127.0.0.1:3/x',
  startedAt: '2026-11-20T00:00:00.000Z',
};
let dataDir: string;
let file: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'sluice-running-'));
  file = join(dataDir, 'gateway.json');
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

test('what is written is read back, by its owner only, until it is removed', async () => {
  await writeRunningGateway(dataDir, ADDRESSES);
  expect(await readRunningGateway(dataDir)).toMatchObject({ ...ADDRESSES, pid: process.pid });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await removeRunningGateway(dataDir);
  expect(await readRunningGateway(dataDir)).toBeUndefined();
});

test.each([
  { what: 'a process that is gone', change: { pid: 2 ** 22 + 1 } },
  { what: 'a pid that was given to another process', change: { processStartedAt: 'earlier' } },
])('the file of $what counts for nothing', async ({ change }) => {
  await writeRunningGateway(dataDir, ADDRESSES);
  const written = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...written, ...change }));
  expect(await readRunningGateway(dataDir)).toBeUndefined();
});

test('a file that is not ours to read counts for nothing, and another gateway’s is not removed', async () => {
  await writeFile(file, '{"pid": 1');
  expect(await readRunningGateway(dataDir)).toBeUndefined();
  await writeRunningGateway(dataDir, ADDRESSES);
  const written = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...written, pid: process.ppid }));
  await removeRunningGateway(dataDir);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ pid: process.ppid });
});
