import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Bus } from '../../../shared/bus.ts';
import { createLog } from '../../../shared/log.ts';
import { USAGE_CONSUMER, USAGE_STREAM } from '../../../shared/subjects.ts';
import { freshNats } from '../../../test/support/fresh.ts';
import type { TestNats } from '../../../test/support/servers.ts';
import { openUsageConsumer } from './stream.ts';
import { publishEvents } from '../testing/publish.ts';
import { usageEvents } from '../testing/usage-event.ts';

const log = createLog('silent', 'test');
let nats: TestNats;
let bus: Bus;

beforeAll(async () => {
  nats = await freshNats();
  bus = await Bus.connect({ url: nats.url, name: 'test', log });
});

afterAll(async () => {
  await bus.close();
  await nats.stop();
});

beforeEach(async () => {
  const manager = await bus.jetStreamManager();
  await manager.streams.delete(USAGE_STREAM).catch(() => undefined);
});

test('ledgers that start at once make one stream and one consumer', async () => {
  await Promise.all(Array.from({ length: 5 }, () => openUsageConsumer(bus)));
  const manager = await bus.jetStreamManager();
  const { config } = await manager.streams.info(USAGE_STREAM);
  expect(config).toMatchObject({ storage: 'file', retention: 'workqueue', discard: 'new', duplicate_window: 120e9 });
  const consumers = await manager.consumers.list(USAGE_STREAM).next();
  expect(consumers.map(({ name }) => name)).toEqual([USAGE_CONSUMER]);
});

test('a change of ours reaches the stream and the consumer, and what they hold stays', async () => {
  await openUsageConsumer(bus, { maxBytes: 1_000_000, ackWaitMs: 5_000 });
  await publishEvents(bus, usageEvents(10), 1);
  const consumer = await openUsageConsumer(bus, { maxBytes: 2_000_000, ackWaitMs: 6_000 });
  const manager = await bus.jetStreamManager();
  expect((await manager.streams.info(USAGE_STREAM)).config.max_bytes).toBe(2_000_000);
  const { config, num_pending } = await consumer.info();
  expect(config.ack_wait).toBe(6e9);
  expect(num_pending).toBe(10);
});

test('a full stream refuses, so that publishers keep what they have', async () => {
  await openUsageConsumer(bus, { maxBytes: 20_000 });
  await expect(publishEvents(bus, usageEvents(100), 10)).rejects.toMatchObject({
    api_error: { description: 'maximum bytes exceeded' },
  });
});

test('copies that the server cannot keep are an error', async () => {
  await expect(openUsageConsumer(bus, { replicas: 3 })).rejects.toThrow('replicas > 1 not supported');
});

test('a single server keeps one copy', async () => {
  await openUsageConsumer(bus);
  const manager = await bus.jetStreamManager();
  expect((await manager.streams.info(USAGE_STREAM)).config.num_replicas).toBe(1);
});
