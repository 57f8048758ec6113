import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../shared/config.ts';
import type { Patient } from './check.ts';
import { checkDataDir, checkNode, checkPort } from './machine.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-doctor-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function patient(env: Record<string, string>, gateway?: Patient['gateway']): Patient {
  return { config: loadConfig({ env, cwd: folder }), gateway };
}

test.each([
  { version: '26.0.0', status: 'ok' },
  { version: '27.1.0', status: 'ok' },
  { version: '24.11.1', status: 'fail' },
])('Node $version: $status', ({ version, status }) => {
  expect(checkNode(version).status).toBe(status);
});

test('a folder that does not exist yet is well where it can be made', async () => {
  expect(await checkDataDir(patient({ SLUICE_DATA_DIR: 'a/b' }))).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('made at the first start') as string,
  });
});

test('a file is no folder', async () => {
  await writeFile(join(folder, 'file'), '');
  for (const name of ['file', 'file/below']) {
    expect(await checkDataDir(patient({ SLUICE_DATA_DIR: name }))).toMatchObject({ status: 'fail' });
  }
});

test('a folder that nothing is kept in is not looked at', async () => {
  const env = { NATS_URL: 'nats://127.0.0.1:1', DATABASE_URL: 'postgres://127.0.0.1:1/x', SLUICE_DATA_DIR: 'file' };
  expect(await checkDataDir(patient(env))).toMatchObject({ status: 'ok' });
});

test('a port is free, taken, or the running gateway’s own', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const env = { SLUICE_PORT: String(port) };
  const gateway = {
    pid: 7,
    processStartedAt: '',
    url: `http://127.0.0.1:${port}`,
    natsUrl: '',
    databaseUrl: '',
    startedAt: '',
  };
  expect(await checkPort(patient(env))).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('SLUICE_PORT') as string,
  });
  expect(await checkPort(patient(env, gateway))).toMatchObject({ status: 'ok' });
  await new Promise((resolve) => server.close(resolve));
  expect(await checkPort(patient(env))).toMatchObject({ status: 'ok' });
  expect(await checkPort(patient({ SLUICE_HOST: '192.0.2.1', ...env }))).toMatchObject({ status: 'fail' });
});
