import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import { LedgerBeat } from '../../shared/messages/beat.ts';
import { KeyAnswer } from '../../shared/messages/key.ts';
import { RulesAnswer, RulesChanged } from '../../shared/messages/rules.ts';
import { beatSubject, ledgerSubject, RULES_CHANGED } from '../../shared/subjects.ts';
import { blockScope } from './rules/blocks.ts';
import { createKey, hashOfToken, revokeKey } from './principals/keys.ts';
import type { Ledger } from './main.ts';
import { startLedger } from './main.ts';
import { announceRules, inOneRevision, readRevision } from './rules/revision.ts';
import { countAttempts, until } from './testing/counts.ts';
import type { LedgerSetup } from './testing/ledger-setup.ts';
import { setUpLedger } from './testing/ledger-setup.ts';
import { publishEvents, publishText } from './testing/publish.ts';
import { TEST_SECRET, testSecret } from './testing/secret.ts';
import { usageEvents } from './testing/usage-event.ts';

const log = createLog('silent', 'test');
const registry = new Registry();
let setup: LedgerSetup;
let ledgers: Ledger[];

beforeAll(async () => {
  setup = await setUpLedger(log);
  const start = async (registry?: Registry): Promise<Ledger> =>
    startLedger({
      ...{ databaseUrl: setup.database.url, secret: TEST_SECRET, bus: await setup.connect() },
      ...{ clock: systemClock, log, registry },
    });
  ledgers = await Promise.all([start(registry), start()]);
});

afterAll(async () => {
  await Promise.all(ledgers.map((ledger) => ledger.stop()));
  await setup.stop();
});

async function principalOf(token: string): Promise<KeyAnswer['principal']> {
  const answer = await setup.bus.request(ledgerSubject('key'), { v: 1, hash: hashOfToken(token) }, KeyAnswer, 2_000);
  return answer.principal;
}

test('one of the ledgers says whose key it is', async () => {
  const { token } = await createKey(setup.db, { name: 'one', team: 'blue' }, testSecret);
  expect(await principalOf(token)).toMatchObject({ keyName: 'one', team: 'blue' });
  expect(await principalOf('sk-sluice-nobody')).toBeNull();
});

test('a revoked key is announced and forgotten', async () => {
  const { id, token } = await createKey(setup.db, { name: 'two' }, testSecret);
  const announced = new Promise<RulesChanged>((resolve) => setup.bus.onMessage(RULES_CHANGED, RulesChanged, resolve));
  await setup.bus.flush();
  const { revision } = await inOneRevision(setup.db, (tx) => revokeKey(tx, id));
  announceRules(setup.bus, { revision, keys: [id] });
  expect(await announced).toEqual({ v: 1, revision: Number(revision), keys: [id], scopes: [] });
  expect(await principalOf(token)).toBeNull();
});

test('one of the ledgers says what holds for a scope', async () => {
  await blockScope(setup.db, { scope: 'team:blue', reason: 'a test', by: 'test' });
  const question = { v: 1, scopes: ['team:blue', 'team:*', 'total'] };
  const answer = await setup.bus.request(ledgerSubject('rules'), question, RulesAnswer, 2_000);
  expect(answer).toEqual({
    ...{ v: 1, revision: Number(await readRevision(setup.db)), kinds: ['team'] },
    standings: [],
    rules: { 'team:blue': { blocked: { reason: 'a test' }, limits: [], budgets: [] } },
  });
});

test('every ledger’s beats tell a new revision', async () => {
  const revision = Number(await readRevision(setup.db)) + 1;
  const heard = ledgers.map(
    ({ id }) =>
      new Promise<void>((resolve) => {
        setup.bus.onMessage(beatSubject('ledger', id), LedgerBeat, (beat) => {
          if (beat.revision === revision) resolve();
        });
      }),
  );
  await inOneRevision(setup.db, () => Promise.resolve());
  await Promise.all(heard);
});

test('a ledger with another secret does not start', async () => {
  const other = { configured: 'not the secret of the others', dataDir: '/nowhere' };
  const starting = startLedger({
    ...{ databaseUrl: setup.database.url, secret: other, bus: await setup.connect(), clock: systemClock, log },
  });
  await expect(starting).rejects.toThrow('kept under another secret');
});

test('each ledger beats, and one answers a ping', async () => {
  for (const { id } of ledgers) {
    const beat = await new Promise<LedgerBeat>((resolve) => {
      setup.bus.onMessage(beatSubject('ledger', id), LedgerBeat, resolve);
    });
    expect(beat).toMatchObject({ ledger: id, postgres: null });
  }
  const pong = await setup.bus.request(ledgerSubject('ping'), {}, z.looseObject({ ledger: z.string() }), 2_000);
  expect(ledgers.map(({ id }) => id)).toContain(pong.ledger);
});

test('the metrics count what came', async () => {
  await ledgers[1]?.stop();
  ledgers.length = 1;
  const events = usageEvents(100);
  await publishEvents(setup.bus, events);
  await until('recorded', async () => (await countAttempts(setup.db)) === 100);
  await publishEvents(setup.bus, events);
  await publishText(setup.bus, '[{}]');
  const valueOf = async (name: string): Promise<number | undefined> =>
    (await registry.getSingleMetric(name)?.get())?.values.at(-1)?.value;
  await until('counted', async () => (await valueOf('sluice_ledger_events_poisoned_total')) === 1);
  expect(await valueOf('sluice_ledger_events_recorded_total')).toBe(100);
  expect(await valueOf('sluice_ledger_events_duplicate_total')).toBe(100);
  expect(await valueOf('sluice_ledger_batch_seconds')).toBeGreaterThanOrEqual(2);
  await until('the backlog is asked for', async () => (await valueOf('sluice_ledger_backlog')) === 0);
});
