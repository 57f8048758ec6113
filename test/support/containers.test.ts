import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { dockerAvailable } from './containers.ts';

test('an engine is one that answers a ping', async () => {
  const engine = createServer((request, response) =>
    response.writeHead(request.url === '/_ping' ? 200 : 404).end('OK'),
  );
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
  const env = { DOCKER_HOST: `tcp://127.0.0.1:${(engine.address() as AddressInfo).port}` };
  expect(await dockerAvailable(env)).toBe(true);
  engine.closeAllConnections();
  await new Promise((resolve) => engine.close(resolve));
  expect(await dockerAvailable(env)).toBe(false);
});

test('a DOCKER_HOST without a socket behind it is no engine', async () => {
  expect(await dockerAvailable({ DOCKER_HOST: 'unix:///nowhere/docker.sock' })).toBe(false);
});
