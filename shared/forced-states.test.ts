import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freshNats } from '../test/support/fresh.ts';
import type { TestNats } from '../test/support/servers.ts';
import { Bus } from './bus.ts';
import { ForcedStates, MAX_FORCED } from './forced-states.ts';
import { createLog } from './log.ts';
import type { ForcedState } from './messages/control.ts';
import { FORCED_BUCKET } from './subjects.ts';

const log = createLog('silent', 'test');
const ODD = 'openrouter/anthropic/claude-sonnet-4.5:beta~ü';

let nats: TestNats;
let undo: Array<() => unknown>;
let poisoned: string[];

beforeEach(async () => {
  nats = await freshNats();
  undo = [];
  poisoned = [];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
  await nats.stop();
});

async function connect(): Promise<Bus> {
  const bus = await Bus.connect({ url: nats.url, name: 'test', log, onPoisoned: (subject) => poisoned.push(subject) });
  undo.push(() => bus.close());
  return bus;
}

async function start(bus?: Bus): Promise<ForcedStates> {
  const forced = new ForcedStates();
  const on = bus ?? (await connect());
  undo.push(() => forced.stop());
  await forced.start(on);
  return forced;
}

function state(deployment: string, fields: Partial<ForcedState> = {}): ForcedState {
  return { v: 1, deployment, state: 'drained', atEpochMs: 1_700_000_000_000, ...fields };
}

/** Waits for a change that makes it so. */
function until(forced: ForcedStates, isSo: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isSo()) return;
      listening.unsubscribe();
      resolve();
    };
    const listening = forced.onChange(look);
    look();
  });
}

describe('what an operator forces', () => {
  test('is known to all who watch, until it is released', async () => {
    const [operator, router, worker] = [await start(), await start(), await start()];
    const heard: string[] = [];
    worker.onChange((deployment) => heard.push(deployment));
    await operator.force(state(ODD, { note: 'too slow' }));
    expect(operator.stateOf(ODD)).toBe('drained');
    for (const each of [router, worker]) await until(each, () => each.stateOf(ODD) === 'drained');
    expect(router.all()).toEqual([state(ODD, { note: 'too slow' })]);
    await operator.force(state(ODD, { state: 'disabled' }));
    await until(worker, () => worker.stateOf(ODD) === 'disabled');
    await operator.release(ODD);
    expect(operator.stateOf(ODD)).toBeUndefined();
    for (const each of [router, worker]) await until(each, () => each.stateOf(ODD) === undefined);
    expect(worker.all()).toEqual([]);
    expect(heard).toEqual([ODD, ODD, ODD]);
  });

  test('is known to whoever starts later, before its start is over', async () => {
    const operator = await start();
    await operator.force(state('p/a'));
    await operator.force(state('p/b', { state: 'disabled' }));
    await operator.release('p/a');
    const late = await start();
    expect(late.isKnown).toBe(true);
    expect(late.all()).toEqual([state('p/b', { state: 'disabled' })]);
  });

  test('is kept by a server that is killed, and what changes after its return is heard', async () => {
    const [operator, router] = [await start(), await start()];
    await operator.force(state('p/a'));
    await until(router, () => router.stateOf('p/a') === 'drained');
    await nats.kill();
    expect(router.stateOf('p/a')).toBe('drained');
    await nats.restart();
    const laterBus = await connect();
    const later = await start(laterBus);
    expect(later.stateOf('p/a')).toBe('drained');
    await later.force(state('p/b'));
    await later.release('p/a');
    for (const each of [operator, router])
      await until(each, () => each.stateOf('p/b') === 'drained' && each.stateOf('p/a') === undefined);
  });

  test('cannot be more than its bound', async () => {
    const forced = await start();
    await Promise.all(Array.from({ length: MAX_FORCED }, (_, i) => forced.force(state(`p/${i}`))));
    await expect(forced.force(state('p/more'))).rejects.toMatchObject({ code: 'invalid_request' });
    await forced.force(state('p/0', { state: 'disabled' }));
    expect((await start()).all()).toHaveLength(MAX_FORCED);
  });
});

test('a service starts without the broker’s store, and learns the states once it is there', async () => {
  const operator = await start();
  await operator.force(state('p/a'));
  const bus = await connect();
  const cut = new Promise<void>((resolve) => bus.onConnection((isConnected) => !isConnected && resolve()));
  await nats.kill();
  await cut;
  const service = await start(bus);
  expect({ isKnown: service.isKnown, states: service.all() }).toEqual({ isKnown: false, states: [] });
  await expect(service.force(state('p/b'))).rejects.toMatchObject({ code: 'broker_unavailable' });
  await nats.restart();
  await until(service, () => service.stateOf('p/a') === 'drained');
  await service.force(state('p/b'));
  await until(operator, () => operator.stateOf('p/b') === 'drained');
});

test('values that break the contract are counted and passed over', async () => {
  const bus = await connect();
  const forced = await start(bus);
  const publish = (key: string, text: string) =>
    bus.jetStream().publish(`$KV.${FORCED_BUCKET}.${key}`, Buffer.from(text));
  await publish('eA', 'no JSON');
  await publish('eQ', '{"v":1,"deployment":"y","state":"asleep","atEpochMs":1}');
  // Its name and its key are not the same.
  await publish('eg', JSON.stringify(state('p/other')));
  await forced.force(state('p/a'));
  const late = await start();
  expect(late.all()).toEqual([state('p/a')]);
  expect(forced.all()).toEqual([state('p/a')]);
  expect(poisoned).toEqual(Array.from({ length: 4 }, () => `$KV.${FORCED_BUCKET}`));
});

test('a bucket that was deleted is made again, and nothing of the old one is left', async () => {
  const bus = await connect();
  const forced = new ForcedStates({ compareEveryMs: 50 });
  undo.push(() => forced.stop());
  await forced.start(bus);
  await forced.force(state('p/a'));
  await (await bus.jetStreamManager()).streams.delete(`KV_${FORCED_BUCKET}`);
  await until(forced, () => forced.stateOf('p/a') === undefined);
  const other = await start();
  await other.force(state('p/b'));
  await until(forced, () => forced.stateOf('p/b') === 'drained');
  expect(forced.all()).toEqual(other.all());
});
