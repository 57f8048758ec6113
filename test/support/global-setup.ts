import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { TestProject } from 'vitest/node';
import { REDIS_DATABASES } from '../../infra/servers/redis.ts';
import { startTestServers } from './servers.ts';
import type { ServerKind } from './servers.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /**
     * GET `<desk>/postgres` answers with the URL of the one Postgres, which starts when first asked for;
     * `<desk>/redis` likewise, with a new database number each time.
     */
    testServers: { readonly kind: ServerKind; readonly desk: string };
  }
}

let stop: (() => Promise<void>) | undefined;

/**
 * vitest runs this once, in its main process, before any test. A run of unit tests alone needs no server, so none is
 * started here: the test processes ask for them over HTTP.
 */
export async function setup(project: TestProject): Promise<void> {
  const servers = await startTestServers();
  await servers.prepare();
  // Other users of this machine must not get the passwords.
  const secret = `/${randomUUID()}`;
  let redisDatabase = 0;
  const asked: Record<string, () => Promise<string>> = {
    [`${secret}/postgres`]: async () => (await servers.postgres()).url,
    [`${secret}/redis`]: async () => `${(await servers.redis()).url}/${redisDatabase++ % REDIS_DATABASES}`,
  };
  const desk = createServer((request, response) => {
    const start = asked[request.url ?? ''];
    if (start === undefined) response.writeHead(404).end();
    else void answer(start, response);
  });
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
  const address = desk.address();
  if (address === null || typeof address === 'string') throw new Error('the desk has no port');
  project.provide('testServers', { kind: servers.kind, desk: `http://127.0.0.1:${address.port}${secret}` });
  project.vitest.logger.log(servers.describe);
  stop = async () => {
    desk.close();
    desk.closeAllConnections();
    await servers.stop();
  };
}

export async function teardown(): Promise<void> {
  await stop?.();
}

async function answer(start: () => Promise<string>, response: ServerResponse): Promise<void> {
  try {
    response.end(await start());
  } catch (cause) {
    response.writeHead(500).end(String(cause));
  }
}
