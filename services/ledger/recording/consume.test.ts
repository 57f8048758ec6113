import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Bus } from '../../../shared/bus.ts';
import { createLog } from '../../../shared/log.ts';
import { USAGE_STREAM } from '../../../shared/subjects.ts';
import type { UsageConsumer } from './consume.ts';
import { consumeUsage } from './consume.ts';
import { openUsageConsumer } from './stream.ts';
import { countAttempts, until } from '../testing/counts.ts';
import type { LedgerSetup } from '../testing/ledger-setup.ts';
import { ACK_WAIT_MS, consumeDeps, setUpLedger } from '../testing/ledger-setup.ts';
import { publishEvents, publishText } from '../testing/publish.ts';
import { usageEvent, usageEvents } from '../testing/usage-event.ts';

const log = createLog('silent', 'test');
const stream = { ackWaitMs: ACK_WAIT_MS };
let setup: LedgerSetup;
let already = 0;

beforeAll(async () => {
  setup = await setUpLedger(log);
});

afterAll(() => setup.stop());

beforeEach(async () => {
  await openUsageConsumer(setup.bus, stream);
  already = await countAttempts(setup.db);
});

async function recorded(): Promise<number> {
  return (await countAttempts(setup.db)) - already;
}

async function messagesInStream(): Promise<number> {
  const manager = await setup.bus.jetStreamManager();
  return (await manager.streams.info(USAGE_STREAM)).state.messages;
}

/** Everything recorded is acknowledged, so nothing will come again. */
async function allRecorded(count: number): Promise<void> {
  await until(`${count} recorded`, async () => (await recorded()) >= count);
  await until('the stream is empty', async () => (await messagesInStream()) === 0);
  expect(await recorded()).toBe(count);
}

async function startConsumer(
  extra: { onCommitted?: () => Promise<void> } = {},
): Promise<{ bus: Bus; consumer: UsageConsumer }> {
  const bus = await setup.connect();
  return { bus, consumer: consumeUsage({ ...consumeDeps(bus, setup.db, log), ...extra }) };
}

test('what waits in the stream is recorded and leaves it', async () => {
  await publishEvents(setup.bus, usageEvents(5_000), 250);
  const { consumer } = await startConsumer();
  await allRecorded(5_000);
  await publishEvents(setup.bus, usageEvents(3), 1);
  await allRecorded(5_003);
  await consumer.stop();
});

test('batches that come twice are recorded once, at two ledgers', async () => {
  const events = usageEvents(6_000);
  const [one, two] = [await startConsumer(), await startConsumer()];
  await Promise.all([publishEvents(setup.bus, events, 100), publishEvents(setup.bus, events.toReversed(), 70)]);
  await allRecorded(6_000);
  await Promise.all([one.consumer.stop(), two.consumer.stop()]);
});

test('committed, but never acknowledged: recorded once, redelivered to another ledger', async () => {
  let committed = 0;
  const dying = await startConsumer({
    onCommitted: async () => {
      committed++;
      await dying.bus.close();
    },
  });
  await publishEvents(setup.bus, usageEvents(1_000), 100);
  await until('a batch is committed', () => Promise.resolve(committed > 0));
  expect(await messagesInStream()).toBe(10);
  await dying.consumer.stop();
  const { consumer } = await startConsumer();
  await allRecorded(1_000);
  await consumer.stop();
});

test('ledgers killed under load lose nothing and record nothing twice', async () => {
  const count = 30_000;
  const publishing = publishEvents(setup.bus, usageEvents(count, { costNanoUsd: 1 }), 50);
  const run = (): ReturnType<typeof spawn> =>
    spawn(
      process.execPath,
      [
        new URL('../testing/ledger-process.ts', import.meta.url).pathname,
        setup.nats.url,
        setup.database.url,
        String(ACK_WAIT_MS),
      ],
      { stdio: 'inherit' },
    );
  for (let kills = 1; kills <= 3; kills++) {
    const child = run();
    const exited = once(child, 'exit');
    await until('some are recorded', async () => (await recorded()) >= kills * 5_000);
    child.kill('SIGKILL');
    await exited;
  }
  await publishing;
  expect(await recorded()).toBeLessThan(count);
  const { consumer } = await startConsumer();
  await allRecorded(count);
  await consumer.stop();
}, 60_000);

test('what can never be recorded is put aside; the others are recorded', async () => {
  const { consumer } = await startConsumer();
  await publishText(setup.bus, 'hello');
  const events: object[] = usageEvents(10);
  events.splice(5, 0, { v: 1 }, usageEvent({ model: 'a\0b' }), usageEvent({ durationMs: 2 ** 40 }));
  await publishText(setup.bus, JSON.stringify(events));
  await publishText(setup.bus, '[]');
  await allRecorded(10);
  const aside = await setup.db.selectFrom('poisoned_events').select('reason').orderBy('reason').execute();
  expect(aside.map(({ reason }) => reason)).toEqual([
    'SQLSTATE 22003',
    'SQLSTATE 22P05',
    expect.stringMatching(/^breaks its schema: attemptId: invalid_type, /),
    'not JSON',
  ]);
  await consumer.stop();
});

test('what is in hand at a stop is recorded and acknowledged', async () => {
  const { consumer } = await startConsumer();
  await publishEvents(setup.bus, usageEvents(1), 1);
  await allRecorded(1);
  await publishEvents(setup.bus, usageEvents(200), 10);
  // The batch waits for more at this moment.
  await consumer.stop();
  await setup.bus.flush();
  expect((await messagesInStream()) * 10 + (await recorded())).toBe(201);
  const { consumer: next } = await startConsumer();
  await allRecorded(201);
  await next.stop();
});

test('a nats-server killed and started again', async () => {
  const { consumer } = await startConsumer();
  await publishEvents(setup.bus, usageEvents(1_000), 100);
  await allRecorded(1_000);
  await setup.nats.kill();
  await setup.nats.restart();
  await until('connected again', () => Promise.resolve(setup.bus.isConnected));
  await publishEvents(setup.bus, usageEvents(1_000), 100);
  await allRecorded(2_000);
  await consumer.stop();
}, 40_000);

test('a stream that somebody deleted is made anew', async () => {
  const { consumer } = await startConsumer();
  await publishEvents(setup.bus, usageEvents(10));
  await allRecorded(10);
  await (await setup.bus.jetStreamManager()).streams.delete(USAGE_STREAM);
  await until('it is there again', async () =>
    publishEvents(setup.bus, usageEvents(1, { attemptId: 'after-deletion' })).then(
      () => true,
      () => false,
    ),
  );
  await until('recorded', async () => (await recorded()) === 11);
  await consumer.stop();
}, 40_000);
