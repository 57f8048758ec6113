import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshNats } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { until } from '../../test/support/settled.ts';
import { Bus } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import { ensureOpenStream } from '../../shared/open-stream.ts';
import { OPEN_STREAM, openSubject } from '../../shared/subjects.ts';
import { taskHeadOf } from '../../shared/testing/fixtures.ts';
import { OpenNotes } from './open-notes.ts';

const log = createLog('silent', 'test');
const taskOf = (fields: Parameters<typeof taskHeadOf>[0]): string => JSON.stringify(taskHeadOf(fields));
let nats: TestNats;
let bus: Bus;

beforeAll(async () => {
  nats = await freshNats();
  bus = await Bus.connect({ url: nats.url, name: 'test', log });
  await ensureOpenStream(bus);
});

afterAll(async () => {
  await bus.close();
  await nats.stop();
});

/** The messages of one worker, oldest first: the ids of the requests in each. */
async function noted(workerId: string): Promise<string[][]> {
  const manager = await bus.jetStreamManager();
  const { state } = await manager.streams.info(OPEN_STREAM);
  const messages: string[][] = [];
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq++) {
    const message = await manager.streams.getMessage(OPEN_STREAM, { seq }).catch(() => undefined);
    if (message?.subject !== openSubject(workerId)) continue;
    messages.push((JSON.parse(message.string()) as { task: { id: string } }[]).map(({ task }) => task.id));
  }
  return messages;
}

async function whenNoted(workerId: string, expected: string[][]): Promise<void> {
  let seen: string[][] = [];
  const isSo = async (): Promise<boolean> => {
    seen = await noted(workerId);
    return JSON.stringify(seen) === JSON.stringify(expected);
  };
  await until(isSo, 10_000, () => JSON.stringify(seen));
}

test('what one turn begins leaves in one message', async () => {
  const notes = new OpenNotes({ bus, workerId: 'wrk-turn', log });
  notes.opened(taskOf({ id: 'req_1' }), 1, 'ing-1');
  notes.opened(taskOf({ id: 'req_2' }), 2, 'ing-1');
  await whenNoted('wrk-turn', [['req_1', 'req_2']]);
  notes.opened(taskOf({ id: 'req_3' }), 3, 'ing-1');
  await whenNoted('wrk-turn', [['req_1', 'req_2'], ['req_3']]);
  await notes.stop();
});

test('what has ended leaves the stream, and what is under way stays', async () => {
  const notes = new OpenNotes({ bus, workerId: 'wrk-sweep', log, sweepEveryMs: 50 });
  const first = notes.opened(taskOf({ id: 'req_1' }), 1, 'ing-1');
  await whenNoted('wrk-sweep', [['req_1']]);
  const second = notes.opened(taskOf({ id: 'req_2' }), 2, 'ing-1');
  notes.ended(first);
  await whenNoted('wrk-sweep', [['req_2']]);
  notes.ended(second);
  await whenNoted('wrk-sweep', [[]]);
  await notes.stop();
});

test('many at once are parted over messages that every server takes', async () => {
  const notes = new OpenNotes({ bus, workerId: 'wrk-many', log });
  const ids = Array.from({ length: 2_000 }, (_, index) => `req_${index}`);
  for (const id of ids) notes.opened(taskOf({ id, model: 'm'.repeat(500) }), 1, 'ing-1');
  await until(
    async () => (await noted('wrk-many')).flat().length === ids.length,
    10_000,
    () => 'all are noted',
  );
  const messages = await noted('wrk-many');
  expect(messages.length).toBeGreaterThan(3);
  expect(messages.flat()).toEqual(ids);
  await notes.stop();
});
