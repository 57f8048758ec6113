import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { databaseUrl, dropDatabase, ensureDatabase } from '../../infra/servers/postgres-database.ts';
// For the type of what it provides.
import type {} from './global-setup.ts';
import { startTestNats } from './servers.ts';
import type { TestNats } from './servers.ts';

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A nats-server of the caller's own, with an empty JetStream; `stop()` it in `afterAll`. */
export function freshNats(): Promise<TestNats> {
  return startTestNats(desk().kind);
}

/** An empty database of the caller's own in the one Postgres of the run. */
export async function freshDatabase(): Promise<TestDatabase> {
  const server = await ask('postgres');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await ensureDatabase(server, name);
  return { url: databaseUrl(server, name), drop: () => dropDatabase(server, name) };
}

/** A database number of the caller's own in the one Redis of the run. */
export function redisUrl(): Promise<string> {
  return ask('redis');
}

async function ask(server: 'postgres' | 'redis'): Promise<string> {
  const response = await fetch(`${desk().desk}/${server}`);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}

function desk(): { kind: 'docker' | 'local'; desk: string } {
  // Typed as always there, but it is only under the setup file.
  const provided: { kind: 'docker' | 'local'; desk: string } | undefined = inject('testServers');
  if (provided === undefined) throw new Error("vitest.config.ts needs globalSetup: ['test/support/global-setup.ts']");
  return provided;
}
