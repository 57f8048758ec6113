import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Bus } from '../../shared/bus.ts';
import type { Subscription } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import { KeyQuery } from '../../shared/messages/key.ts';
import { ledgerSubject, LEDGERS } from '../../shared/subjects.ts';
import { freshNats } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { Authenticator } from './authenticate.ts';

const MINUTE = 60_000;
const known: Principal = { keyId: 'key_1', keyName: 'one', team: null };
const bearer = (key: string): { authorization: string } => ({ authorization: `Bearer ${key}` });
const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');

let nats: TestNats;
let ingressBus: Bus;
let ledgerBus: Bus;
let ledger: Subscription | undefined;
let answer: Principal | null = known;
let questions = 0;
/** Answers wait for this. */
let gate: Promise<void> = Promise.resolve();
let now = 0;
let authenticator: Authenticator;

beforeAll(async () => {
  nats = await freshNats();
  const log = createLog('silent', 'test');
  ingressBus = await Bus.connect({ url: nats.url, name: 'ingress', log });
  ledgerBus = await Bus.connect({ url: nats.url, name: 'ledger', log });
});

afterAll(async () => {
  await Promise.all([ingressBus.close(), ledgerBus.close()]);
  await nats.stop();
});

beforeEach(async () => {
  ledger?.unsubscribe();
  ledger = ledgerBus.onRequest(ledgerSubject('key'), LEDGERS, KeyQuery, async () => {
    questions++;
    const principal = answer;
    await gate;
    return { v: 1, principal };
  });
  await ledgerBus.flush();
  answer = known;
  questions = 0;
  gate = Promise.resolve();
  now = 0;
  const auth = {
    adminKey: 'sk-admin',
    keys: [
      { name: 'conf', key: 'sk-conf', team: 'team', overrides: 'all' as const },
      { name: 'bound', key: 'sk-bound', team: undefined, overrides: ['strategy' as const] },
    ],
  };
  authenticator = new Authenticator(auth, ingressBus, { now: () => now, epochMs: () => now });
});

const ask = async (key: string): Promise<Principal> => authenticator.authenticate(bearer(key));
const refusal = (code: string): unknown => expect.objectContaining({ code });

describe('a key', () => {
  test('of the configuration is known at once, without a question', () => {
    expect(authenticator.authenticate(bearer('sk-conf'))).toEqual({
      keyId: 'config:conf',
      keyName: 'conf',
      team: 'team',
    });
    expect(authenticator.authenticate(bearer('sk-admin'))).toMatchObject({ keyId: 'config:admin', isAdmin: true });
    expect(authenticator.authenticate(bearer('sk-bound'))).toMatchObject({ team: null, overrides: ['strategy'] });
    expect(questions).toBe(0);
  });

  test('of the ledger is asked for once a minute', async () => {
    for (const [at, asked] of [
      [0, 1],
      [1, 1],
      [MINUTE - 1, 1],
      [MINUTE, 2],
      [2 * MINUTE - 1, 2],
    ] as const) {
      now = at;
      expect(await ask('sk-a')).toEqual(known);
      expect(questions).toBe(asked);
    }
  });

  test('that comes many times at once is one question', async () => {
    const found = await Promise.all(Array.from({ length: 50 }, () => ask('sk-a')));
    expect(new Set(found.map(({ keyId }) => keyId))).toEqual(new Set(['key_1']));
    expect(questions).toBe(1);
  });

  test('that nobody knows is refused, and asked for again two seconds later', async () => {
    answer = null;
    await expect(ask('sk-b')).rejects.toEqual(refusal('invalid_api_key'));
    now = 1_999;
    await expect(ask('sk-b')).rejects.toEqual(refusal('invalid_api_key'));
    expect(questions).toBe(1);
    now = 2_000;
    answer = known;
    expect(await ask('sk-b')).toEqual(known);
  });

  test('that changed is asked for anew', async () => {
    await ask('sk-a');
    answer = null;
    authenticator.forget(hashOf('sk-a'));
    await expect(ask('sk-a')).rejects.toEqual(refusal('invalid_api_key'));
  });

  test('that changes while it is asked for is not remembered as it was', async () => {
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const before = ask('sk-a');
    while (questions === 0) await ledgerBus.flush();
    answer = null;
    authenticator.forget(hashOf('sk-a'));
    open();
    await before;
    await expect(ask('sk-a')).rejects.toEqual(refusal('invalid_api_key'));
  });
});

describe('while the ledger is away', () => {
  const leave = async (): Promise<void> => {
    ledger?.unsubscribe();
    await ledgerBus.flush();
  };

  test('a key that it knew is believed for ten minutes', async () => {
    await ask('sk-a');
    await leave();
    now = 10 * MINUTE - 1;
    expect(await ask('sk-a')).toEqual(known);
    now = 10 * MINUTE;
    await expect(ask('sk-a')).rejects.toEqual(refusal('ledger_unavailable'));
  });

  test('one that was unknown, or never seen, is neither refused nor believed', async () => {
    answer = null;
    await expect(ask('sk-b')).rejects.toEqual(refusal('invalid_api_key'));
    await leave();
    now = 2_000;
    await expect(ask('sk-b')).rejects.toEqual(refusal('ledger_unavailable'));
    await expect(ask('sk-new')).rejects.toEqual(refusal('ledger_unavailable'));
    expect(await ask('sk-conf')).toMatchObject({ keyName: 'conf' });
  });
});

test.each([
  {},
  { authorization: 'Bearer ' },
  { authorization: 'Bearer' },
  { authorization: 'Basic x' },
  { 'x-api-key': '' },
  { 'x-api-key': ['a', 'b'] },
  { authorization: `Bearer ${'x'.repeat(513)}` },
])('%j has no key to ask for', (headers) => {
  expect(() => authenticator.authenticate(headers as never)).toThrow(refusal('invalid_api_key'));
  expect(questions).toBe(0);
});
