import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Bus } from '../../../shared/bus.ts';
import { systemClock } from '../../../shared/clock.ts';
import { makeRequestId } from '../../../shared/ids.ts';
import { createLog } from '../../../shared/log.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import { ensureOpenStream } from '../../../shared/open-stream.ts';
import { beatSubject, OPEN_STREAM, openSubject } from '../../../shared/subjects.ts';
import { taskHeadOf } from '../../../shared/testing/fixtures.ts';
import { AttemptReaper } from './reap-attempts.ts';
import { recordEvents } from './record.ts';
import { until } from '../testing/counts.ts';
import type { LedgerSetup } from '../testing/ledger-setup.ts';
import { setUpLedger } from '../testing/ledger-setup.ts';
import { usageEvent } from '../testing/usage-event.ts';

const log = createLog('silent', 'test');
const DEAD_AFTER_MS = 300;
let setup: LedgerSetup;

beforeAll(async () => {
  setup = await setUpLedger(log);
  await ensureOpenStream(setup.bus);
});

afterAll(() => setup.stop());

function startReaper(bus: Bus, backlog = () => 0): AttemptReaper {
  const { db } = setup;
  const record = (events: Parameters<typeof recordEvents>[1]): Promise<unknown> => recordEvents(db, events);
  const timing = { deadAfterMs: DEAD_AFTER_MS, lookEveryMs: 50 };
  return new AttemptReaper({ bus, db, clock: systemClock, log, backlog, record, ...timing });
}

async function note(worker: string, ...tasks: TaskHead[]): Promise<void> {
  const notes = tasks.map((task) => ({ startedEpochMs: Date.now(), ingress: 'ing-1', task }));
  await setup.bus.jetStream().publish(openSubject(worker), JSON.stringify(notes));
}

async function notesLeft(worker: string): Promise<number> {
  const manager = await setup.bus.jetStreamManager();
  const { state } = await manager.streams.info(OPEN_STREAM, { subjects_filter: openSubject(worker) });
  return state.subjects?.[openSubject(worker)] ?? 0;
}

function rows(requestId: string) {
  return setup.db.selectFrom('attempts').selectAll().where('request_id', '=', requestId).execute();
}

test('what a dead worker began and nobody ended is closed at its reservation, once, by two ledgers', async () => {
  const [ended, lost] = [makeRequestId(), makeRequestId()];
  const account = { admittedEpochMs: Date.now(), reservedNanoUsd: 12_345, leases: [] };
  await note('wrk-dead', taskHeadOf({ id: ended, attempt: 1 }), taskHeadOf({ id: lost, attempt: 2, account }));
  await note('wrk-dead', taskHeadOf({ id: lost, attempt: 2, account }));
  await recordEvents(setup.db, [usageEvent({ requestId: ended, attemptId: `${ended}.1` })]);
  const reapers = [startReaper(setup.bus), startReaper(await setup.connect())];
  await until('the notes are read and gone', async () => (await notesLeft('wrk-dead')) === 0);
  for (const reaper of reapers) await reaper.stop();
  expect(await rows(ended)).toMatchObject([{ source: 'worker', error: null }]);
  expect(await rows(lost)).toMatchObject([
    {
      attempt_id: `${lost}.2`,
      source: 'reaper',
      error: 'worker_lost',
      is_estimated: true,
      cost_nano_usd: 12_345n,
      worker: 'wrk-dead',
    },
  ]);
});

test('a worker that beats keeps its attempts, and so does every worker while events wait to be recorded', async () => {
  const [alive, early] = [makeRequestId(), makeRequestId()];
  await note('wrk-alive', taskHeadOf({ id: alive, attempt: 1 }));
  await note('wrk-early', taskHeadOf({ id: early, attempt: 1 }));
  const beat = { v: 1, worker: 'wrk-alive', isDraining: false, pools: [], deployments: [] };
  const beating = setInterval(() => setup.bus.publish(beatSubject('worker', 'wrk-alive'), beat), 50);
  let backlog = 1;
  const reaper = startReaper(setup.bus, () => backlog);
  await new Promise((resolve) => setTimeout(resolve, 3 * DEAD_AFTER_MS));
  expect(await rows(early)).toEqual([]);
  backlog = 0;
  await until('the dead one is closed', async () => (await rows(early)).length === 1);
  expect(await rows(alive)).toEqual([]);
  clearInterval(beating);
  await until('it is closed after its last beat', async () => (await rows(alive)).length === 1);
  await reaper.stop();
});

test('a note that cannot be read costs only itself', async () => {
  const lost = makeRequestId();
  await setup.bus.jetStream().publish(openSubject('wrk-odd'), 'no JSON');
  await setup.bus.jetStream().publish(openSubject('wrk-odd'), '[{"task":{}}]');
  await note('wrk-odd', taskHeadOf({ id: lost, attempt: 1 }));
  const reaper = startReaper(setup.bus);
  await until('it is closed', async () => (await rows(lost)).length === 1);
  await until('the notes are gone', async () => (await notesLeft('wrk-odd')) === 0);
  await reaper.stop();
});
