import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isJetStreamAway, openUsageConsumer } from './stream.ts';
import { freshNats } from '../../../test/support/fresh.ts';
import { startNatsCluster } from '../../../test/support/nats-cluster.ts';
import type { Restartable } from '../../../test/support/restartable.ts';
import { Bus } from '../../../shared/bus.ts';
import { ForcedStates } from '../../../shared/forced-states.ts';
import { createLog } from '../../../shared/log.ts';
import { withReplicas } from '../../../shared/replicas.ts';
import { FORCED_BUCKET, USAGE_STREAM } from '../../../shared/subjects.ts';

// In this order: electing leaders takes seconds.
let folder: string;
let servers: Restartable[];
let bus: Bus;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-'));
  servers = await startNatsCluster(folder);
  const url = servers.map((server) => server.url).join(',');
  bus = await Bus.connect({ url, name: 'test', log: createLog('silent', 'test') });
}, 120_000);

afterAll(async () => {
  await bus.close();
  for (const server of servers) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function copiesOf(stream: string): Promise<number> {
  const info = await answered(async () => (await bus.jetStreamManager()).streams.info(stream));
  return info.config.num_replicas;
}

async function started(): Promise<ForcedStates> {
  const forced = new ForcedStates({ compareEveryMs: 500 });
  await forced.start(bus);
  return forced;
}

/** A cluster that elects its leaders leaves questions unanswered meanwhile: asked anew, as a ledger that starts does. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (failure) {
      if (!isJetStreamAway(failure)) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function eventually(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('in a cluster three copies are kept, and one that was alone gets its two', { timeout: 120_000 }, async () => {
  await answered(() => openUsageConsumer(bus, { replicas: 1 }));
  expect(await copiesOf(USAGE_STREAM)).toBe(1);
  const forced = await started();
  await eventually(() => forced.isKnown);
  await answered(() => openUsageConsumer(bus));
  expect(await copiesOf(USAGE_STREAM)).toBe(3);
  expect(await copiesOf(`KV_${FORCED_BUCKET}`)).toBe(3);
  forced.stop();
});

test('a server that is killed takes nothing with it, and a watch goes on', { timeout: 60_000 }, async () => {
  const [watching, operator] = [await started(), await started()];
  await eventually(() => watching.isKnown && operator.isKnown);
  const force = (deployment: string): Promise<void> =>
    operator.force({ v: 1, deployment, state: 'drained', atEpochMs: 1 });
  await force('p/before');
  await servers[0]?.kill9();
  // A new leader is elected meanwhile.
  for (;;) {
    try {
      await force('p/after');
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  await eventually(() => watching.stateOf('p/after') === 'drained');
  expect(watching.stateOf('p/before')).toBe('drained');
  watching.stop();
  operator.stop();
});

test('where there are no servers for three copies there is one, and any other refusal is told', async () => {
  const nats = await freshNats();
  const alone = await Bus.connect({ url: nats.url, name: 'test', log: createLog('silent', 'test') });
  const manager = await alone.jetStreamManager();
  const asked: number[] = [];
  const make = (replicas: number): Promise<{ config: { num_replicas: number } }> => {
    asked.push(replicas);
    return manager.streams.add({ name: 'S', subjects: ['s'], num_replicas: replicas });
  };
  const { config } = await withReplicas({ isClustered: true }, 1, make);
  expect({ asked, got: config.num_replicas }).toEqual({ asked: [3, 1], got: 1 });
  await expect(withReplicas(alone, 1, () => manager.streams.info('T'))).rejects.toThrow('stream not found');
  expect(alone.isClustered).toBe(false);
  await alone.close();
  await nats.stop();
});
