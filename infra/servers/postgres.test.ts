import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identify } from './identity.ts';
import { databaseUrl, dropDatabase, ensureDatabase, withConnection } from './postgres-database.ts';
import { startPostgres } from './postgres.ts';

// One data folder for all of it, in this order: making one costs most of a second.
const log = { info: () => undefined, warn: () => undefined, debug: () => undefined };
let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'sluice-postgres-'));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

async function query(url: string, text: string): Promise<unknown[]> {
  return withConnection(url, async (client) => (await client.query<Record<string, unknown>>(text)).rows);
}

test('a first start cut short in initdb does not block the next', { timeout: 30_000 }, async () => {
  const half = join(dataDir, 'postgres', 'initdb-half');
  await mkdir(half, { recursive: true });
  await writeFile(join(half, 'PG_VERSION'), '18\n');
  const server = await startPostgres({ dataDir, log });
  try {
    await query(server.url, 'create table kept (value int)');
    await query(server.url, 'insert into kept values (42)');
  } finally {
    await server.stop();
  }
  expect(await identify(server.pid)).toBeUndefined();
});

test('a restart keeps the data and the password', async () => {
  const server = await startPostgres({ dataDir, log });
  try {
    expect(await query(server.url, 'select value from kept')).toEqual([{ value: 42 }]);
    const wrong = new URL(server.url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'select 1')).rejects.toThrow('password authentication failed');
  } finally {
    await server.stop();
  }
});

test('commits are safe by default', async () => {
  const server = await startPostgres({ dataDir, log });
  try {
    const settings = await query(
      server.url,
      "select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'listen_addresses') order by name",
    );
    expect(settings).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'synchronous_commit', setting: 'on' },
    ]);
  } finally {
    await server.stop();
  }
});

test('two starts at once on one folder: one runs, the other is refused', async () => {
  const starts = await Promise.allSettled([startPostgres({ dataDir, log }), startPostgres({ dataDir, log })]);
  const [running, ...others] = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  await running?.stop();
  expect(others).toEqual([]);
  expect(starts.flatMap((start) => (start.status === 'rejected' ? [String(start.reason)] : []))).toEqual([
    expect.stringContaining(`in use by process ${process.pid}`),
  ]);
});

test('a server left behind by a killed parent is stopped, and a new one has its data', async () => {
  const leftover = await startPostgres({ dataDir, log });
  await query(leftover.url, 'insert into kept values (43)');
  // A lock of a process that is gone is what `kill -9` of the parent leaves.
  await writeFile(join(dataDir, 'postgres', 'lock'), JSON.stringify({ pid: process.pid, startedAt: 'earlier' }));
  const server = await startPostgres({ dataDir, log });
  try {
    expect(await leftover.exited).toBe('exit code 0');
    expect(await query(server.url, 'select sum(value)::int as sum from kept')).toEqual([{ sum: 85 }]);
  } finally {
    await server.stop();
  }
});

test('after kill -9 of the server itself the next start recovers what was committed', async () => {
  const killed = await startPostgres({ dataDir, log });
  await query(killed.url, 'insert into kept values (44)');
  process.kill(killed.pid, 'SIGKILL');
  await killed.exited;
  await killed.stop();
  const server = await startPostgres({ dataDir, log });
  try {
    expect(await query(server.url, 'select count(*)::int as count from kept')).toEqual([{ count: 3 }]);
  } finally {
    await server.stop();
  }
});

test('a postmaster.pid that names another living process does not block the start', async () => {
  const pidFile = join(dataDir, 'postgres', 'cluster', 'postmaster.pid');
  const killed = await startPostgres({ dataDir, log });
  process.kill(killed.pid, 'SIGKILL');
  await killed.exited;
  await killed.stop();
  const [, ...rest] = (await readFile(pidFile, 'utf8')).split('\n');
  // The test runner: alive, and neither Postgres nor the parent of the next one.
  await writeFile(pidFile, [process.ppid, ...rest].join('\n'));
  const server = await startPostgres({ dataDir, log });
  await server.stop();
});

test('databases come and go, also with sessions in them', async () => {
  const server = await startPostgres({ dataDir, log });
  try {
    const name = `test-${randomUUID()}`;
    await ensureDatabase(server.url, name);
    await ensureDatabase(server.url, name);
    const url = databaseUrl(server.url, name);
    await withConnection(url, async (session) => {
      await session.query('select 1');
      await dropDatabase(server.url, name);
    }).catch(() => undefined); // ending a session that is gone may fail
    await expect(query(url, 'select 1')).rejects.toThrow('does not exist');
  } finally {
    await server.stop();
  }
});

test('a data folder without its password is refused with a word on what to do', async () => {
  await rm(join(dataDir, 'postgres', 'password'));
  await expect(startPostgres({ dataDir, log })).rejects.toThrow('restore it');
});
