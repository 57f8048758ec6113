import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultCacheDir } from './cache-dir.ts';
import { identify } from './identity.ts';
import { findNatsServer } from './nats-binary.ts';
import { natsReady } from './nats-ready.ts';
import { startNats } from './nats.ts';
import { spawnServer } from './process.ts';

const log = { info: () => undefined, warn: () => undefined, debug: () => undefined };
const cacheDir = defaultCacheDir(process.env);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-nats-'));
  await findNatsServer({ cacheDir, env: process.env, log });
}, 120_000); // the first time on a machine it is fetched
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the server', () => {
  test('runs JetStream behind its password, on the loopback only', async () => {
    const dataDir = join(folder, 'plain');
    const server = await startNats({ dataDir, cacheDir, log });
    try {
      const url = new URL(server.url);
      expect(url.hostname).toBe('127.0.0.1');
      const login = { port: server.port, user: url.username, password: url.password };
      expect(await natsReady(login)).toBe(server.version);
      await expect(natsReady({ ...login, password: 'wrong' })).rejects.toThrow('Authorization Violation');
      for (const file of ['nats.conf', 'password']) {
        expect((await stat(join(dataDir, 'nats', file))).mode & 0o777).toBe(0o600);
      }
    } finally {
      await server.stop();
    }
    expect(await identify(server.pid)).toBeUndefined();
  });

  test('keeps its password over a restart', async () => {
    const dataDir = join(folder, 'restart');
    const first = await startNats({ dataDir, cacheDir, log });
    await first.stop();
    const second = await startNats({ dataDir, cacheDir, log, port: first.port });
    await second.stop();
    expect(second.url).toBe(first.url);
  });

  test('a second start on a folder in use is refused', async () => {
    const dataDir = join(folder, 'twice');
    const server = await startNats({ dataDir, cacheDir, log });
    try {
      await expect(startNats({ dataDir, cacheDir, log })).rejects.toThrow('is in use by process');
    } finally {
      await server.stop();
    }
  });

  test('a server left behind by a killed parent is stopped, and a new one started', async () => {
    const dataDir = join(folder, 'leftover');
    const first = await startNats({ dataDir, cacheDir, log });
    await first.stop();
    const conf = join(dataDir, 'nats', 'nats.conf');
    const leftover = await spawnServer({
      ...{ name: 'nats-server', command: first.binary, args: ['-c', conf] },
      ...{ deathSignal: 'SIGTERM', log },
    });
    const pidFile = join(dataDir, 'nats', 'nats.pid');
    await expect.poll(() => readFile(pidFile, 'utf8').catch(() => '')).toBe(String(leftover.pid));
    const second = await startNats({ dataDir, cacheDir, log });
    await second.stop();
    expect(leftover.ending).toBeDefined();
  });

  test('a pid file that names somebody else is ignored', async () => {
    const dataDir = join(folder, 'stale-pid');
    await mkdir(join(dataDir, 'nats'), { recursive: true });
    await writeFile(join(dataDir, 'nats', 'nats.pid'), String(process.pid));
    const server = await startNats({ dataDir, cacheDir, log });
    await server.stop();
  });

  test('a port that is taken is an error with what the server said', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    const { port } = blocker.address() as AddressInfo;
    await expect(startNats({ dataDir: join(folder, 'taken'), cacheDir, log, port })).rejects.toThrow(
      'address already in use',
    );
    blocker.close();
  });
});

describe('the program', () => {
  async function fakeServer(path: string, version: string): Promise<string> {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
    await chmod(path, 0o755);
    return path;
  }

  test('NATS_SERVER_BIN goes before everything else', async () => {
    const path = await fakeServer(join(folder, 'named', 'nats-server'), '2.12.1');
    const env = { ...process.env, NATS_SERVER_BIN: path };
    expect(await findNatsServer({ cacheDir, env, log })).toEqual({
      path,
      version: '2.12.1',
      source: 'NATS_SERVER_BIN',
    });
  });

  test('a NATS_SERVER_BIN that does not work is an error, not a reason to take another', async () => {
    const env = { ...process.env, NATS_SERVER_BIN: join(folder, 'absent') };
    await expect(findNatsServer({ cacheDir, env, log })).rejects.toThrow('NATS_SERVER_BIN');
  });

  test('one on PATH is taken, one that is too old is not', async () => {
    const old = await fakeServer(join(folder, 'old', 'nats-server'), '2.8.4');
    const cached = await fakeServer(
      join(folder, 'cache-a', 'nats-server', 'apt', 'usr', 'sbin', 'nats-server'),
      '2.9.10',
    );
    const fresh = await fakeServer(join(folder, 'new', 'nats-server'), '2.15.1');
    const find = (path: string) =>
      findNatsServer({ cacheDir: join(folder, 'cache-a'), env: { ...process.env, PATH: join(path, '..') }, log });
    expect(await find(fresh)).toEqual({ path: fresh, version: '2.15.1', source: 'PATH' });
    expect(await find(old)).toEqual({ path: cached, version: '2.9.10', source: 'cache' });
  });

  test('the release archive is unpacked when its hash is right, and refused when not', async () => {
    await fakeServer(join(folder, 'release', 'nats-server-v9', 'nats-server'), '9.0.0');
    await promisify(execFile)('tar', ['-czf', 'release.tar.gz', 'nats-server-v9'], { cwd: join(folder, 'release') });
    const archive = await readFile(join(folder, 'release', 'release.tar.gz'));
    const site = createServer((_request, response) => response.end(archive)).listen(0, '127.0.0.1');
    await new Promise((resolve) => site.once('listening', resolve));
    const release = {
      url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/nats.tar.gz`,
      sha256: createHash('sha256').update(archive).digest('hex'),
      program: 'nats-server-v9/nats-server',
    };
    // tar and gzip are needed, apt-get must not be found.
    const env = { PATH: '' };
    try {
      const bad = { ...release, sha256: '0'.repeat(64) };
      await expect(findNatsServer({ cacheDir: join(folder, 'cache-b'), env, log, release: bad })).rejects.toThrow(
        'SHA-256',
      );
      const found = await findNatsServer({ cacheDir: join(folder, 'cache-b'), env, log, release });
      expect(found).toMatchObject({ version: '9.0.0', source: 'release' });
      expect(await findNatsServer({ cacheDir: join(folder, 'cache-b'), env, log, release })).toMatchObject({
        source: 'cache',
      });
    } finally {
      site.close();
    }
  });

  test('when there is none, the error says what to do', async () => {
    const find = findNatsServer({ cacheDir: join(folder, 'cache-c'), env: { PATH: '' }, log, release: undefined });
    await expect(find).rejects.toThrow(/brew install nats-server[\s\S]*apt-get install nats-server[\s\S]*NATS_URL/);
  });
});
