import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { RequestOptions } from 'node:http';
import { freePort } from '../../infra/servers/port.ts';
import { REDIS_DATABASES } from '../../infra/servers/redis.ts';
import type { TestNats, TestServer } from './servers.ts';

const NATS_IMAGE = 'nats:2.14-alpine';
const POSTGRES_IMAGE = 'postgres:18-alpine';
const REDIS_IMAGE = 'redis:7-alpine';

/** A local engine answers in a millisecond or two; an absent one refuses at once. */
const PING_TIMEOUT_MS = 500;

/** Whether a Docker engine answers. Does not load testcontainers, which takes longer than the whole question. */
export async function dockerAvailable(env: NodeJS.ProcessEnv = process.env): Promise<boolean> {
  for (const address of engineAddresses(env)) if (await pings(address)) return true;
  return false;
}

export async function startNatsContainer(): Promise<TestNats> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const password = randomBytes(12).toString('hex');
  // A fixed port on the host: after a restart the clients find the server where it was.
  const port = await freePort();
  const container = await new GenericContainer(NATS_IMAGE)
    .withCommand(['-js', '-sd', '/data', '--user', 'sluice', '--pass', password])
    .withExposedPorts({ container: 4222, host: port })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  return {
    url: `nats://sluice:${password}@${container.getHost()}:${port}`,
    port,
    version: NATS_IMAGE,
    kill: async () => {
      await container.stop({ timeout: 0, remove: false });
    },
    restart: () => container.restart(),
    stop: async () => {
      await container.stop();
    },
  };
}

export async function startPostgresContainer(): Promise<TestServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const password = randomBytes(12).toString('hex');
  const container = await new GenericContainer(POSTGRES_IMAGE)
    .withEnvironment({ POSTGRES_PASSWORD: password, POSTGRES_DB: 'sluice' })
    .withCommand(['-c', 'fsync=off', '-c', 'max_connections=200'])
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const port = container.getMappedPort(5432);
  return {
    url: `postgres://postgres:${password}@${container.getHost()}:${port}/sluice`,
    port,
    version: POSTGRES_IMAGE,
    stop: async () => {
      await container.stop();
    },
  };
}

export async function startRedisContainer(): Promise<TestServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await new GenericContainer(REDIS_IMAGE)
    .withCommand(['redis-server', '--save', '', '--databases', String(REDIS_DATABASES)])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const port = container.getMappedPort(6379);
  return {
    url: `redis://${container.getHost()}:${port}`,
    port,
    version: REDIS_IMAGE,
    stop: async () => {
      await container.stop();
    },
  };
}

/** Where testcontainers will look too: DOCKER_HOST alone when set, else the usual sockets. */
function engineAddresses(env: NodeJS.ProcessEnv): RequestOptions[] {
  const host = env['DOCKER_HOST'];
  if (host?.startsWith('unix://')) return [{ socketPath: host.slice('unix://'.length) }];
  if (host) {
    const url = new URL(host.replace(/^tcp:/, 'http:'));
    return [{ host: url.hostname, port: url.port || '2375' }];
  }
  const sockets = ['/var/run/docker.sock', join(homedir(), '.docker/run/docker.sock')];
  const runtime = env['XDG_RUNTIME_DIR'];
  if (runtime) sockets.push(join(runtime, 'docker.sock'));
  return sockets.map((socketPath) => ({ socketPath }));
}

function pings(address: RequestOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ ...address, path: '/_ping', timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.once('timeout', () => ping.destroy());
    ping.once('error', () => resolve(false));
    ping.once('close', () => resolve(false));
    ping.end();
  });
}
