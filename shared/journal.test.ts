import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshNats } from '../test/support/fresh.ts';
import type { TestNats } from '../test/support/servers.ts';
import { Bus } from './bus.ts';
import { systemClock } from './clock.ts';
import { UsageJournal } from './journal.ts';
import { createLog } from './log.ts';
import type { UsageRecorded } from './messages/usage.ts';
import { USAGE_STREAM, USAGE_SUBJECTS, usageSubject } from './subjects.ts';

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

const event = (attemptId: string): UsageRecorded => ({ v: 1, attemptId }) as UsageRecorded;

/** What the stream holds of one shard, message by message. */
async function held(shard: string): Promise<string[][]> {
  const manager = await bus.jetStreamManager();
  const { state } = await manager.streams.info(USAGE_STREAM);
  const batches: string[][] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage(USAGE_STREAM, { seq });
    if (message.subject !== usageSubject(shard)) continue;
    batches.push(message.json<Array<{ attemptId: string }>>().map(({ attemptId }) => attemptId));
  }
  return batches;
}

describe('usage events', () => {
  test('wait for a stream that is not there yet, and are published once each, in order', async () => {
    const journal = new UsageJournal(bus, 'early', systemClock, log);
    journal.record(event('1'));
    journal.record(event('2'));
    expect(await journal.drain(1)).toBe(false);
    expect(journal.backlog).toBe(2);
    await (await bus.jetStreamManager()).streams.add({ name: USAGE_STREAM, subjects: [USAGE_SUBJECTS] });
    expect(await journal.drain(10_000)).toBe(true);
    expect((await held('early')).flat()).toEqual(['1', '2']);
    expect(journal).toMatchObject({ backlog: 0, isFull: false });
  });

  test('of one window share a message; many are many messages of 500 at most', async () => {
    const journal = new UsageJournal(bus, 'many', systemClock, log);
    const ids = Array.from({ length: 1_234 }, (_, i) => String(i));
    for (const id of ids) journal.record(event(id));
    expect(await journal.drain(10_000)).toBe(true);
    const batches = await held('many');
    expect(batches.flat().toSorted()).toEqual(ids.toSorted());
    expect(Math.max(...batches.map(({ length }) => length))).toBe(500);
  });

  test('are kept while the broker is away, and come out once when it is back', async () => {
    const journal = new UsageJournal(bus, 'away', systemClock, log);
    journal.record(event('before'));
    expect(await journal.drain(10_000)).toBe(true);
    await nats.kill();
    for (let i = 0; i < 20; i++) journal.record(event(`during ${i}`));
    expect(await journal.drain(100)).toBe(false);
    await nats.restart();
    expect(await journal.drain(15_000)).toBe(true);
    const ids = (await held('away')).flat();
    expect(ids).toEqual(['before', ...Array.from({ length: 20 }, (_, i) => `during ${i}`)]);
  });

  test('that cannot be kept any more are the owner’s to hold back', () => {
    const journal = new UsageJournal(bus, 'full', systemClock, log);
    expect(journal.isFull).toBe(false);
    for (let i = 0; i < 100_000; i++) journal.record(event('x'));
    expect(journal.isFull).toBe(true);
  });
});
