import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Bus } from '../../shared/bus.ts';
import type { Subscription } from '../../shared/bus.ts';
import { createLog } from '../../shared/log.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import type { KeyPolicy } from '../../shared/messages/key.ts';
import { KeyQuery } from '../../shared/messages/key.ts';
import { ledgerSubject, LEDGERS } from '../../shared/subjects.ts';
import { freshNats } from '../../test/support/fresh.ts';
import type { TestNats } from '../../test/support/servers.ts';
import { Authenticator } from './authenticate.ts';
import type { Caller } from './caller.ts';

const MINUTE = 60_000;
const known: Principal = { keyId: 'key_1', keyName: 'one', team: null };
const bearer = (key: string): { authorization: string } => ({ authorization: `Bearer ${key}` });

let nats: TestNats;
let ingressBus: Bus;
let ledgerBus: Bus;
let ledger: Subscription | undefined;
let answer: Principal | null = known;
let policy: KeyPolicy = {};
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
    const answered = { v: 1, principal: answer, policy };
    await gate;
    return answered;
  });
  await ledgerBus.flush();
  answer = known;
  policy = {};
  questions = 0;
  gate = Promise.resolve();
  now = 0;
  const auth = {
    ...{ adminKey: 'sk-admin', secret: undefined, jwt: [] },
    keys: [
      {
        ...{ name: 'conf', key: 'sk-conf', team: 'team', user: 'ada', organisation: 'acme', overrides: 'all' as const },
        policy: { role: 'admin' as const, tags: { env: 'test' } },
      },
      {
        ...{ name: 'bound', key: 'sk-bound', team: undefined, user: undefined, organisation: undefined },
        ...{ overrides: ['strategy' as const], policy: { expiresEpochMs: 10 } },
      },
    ],
  };
  const trustedProxies = ['192.0.2.0/24'];
  authenticator = new Authenticator(auth, ingressBus, { now: () => now, epochMs: () => now }, { trustedProxies });
});

const askAs = async (key: string, address?: string): Promise<Caller> =>
  authenticator.authenticate(bearer(key), address);
const ask = async (key: string): Promise<Principal> => (await askAs(key)).principal;
const refusal = (code: string): unknown => expect.objectContaining({ code });

describe('a key', () => {
  test('of the configuration is known at once, without a question', () => {
    expect(authenticator.authenticate(bearer('sk-conf'))).toEqual({
      principal: {
        ...{ keyId: 'config:conf', keyName: 'conf', team: 'team', user: 'ada', organisation: 'acme', isAdmin: true },
      },
      policy: { role: 'admin', tags: { env: 'test' } },
    });
    expect(authenticator.authenticate(bearer('sk-admin'))).toEqual({
      principal: { keyId: 'config:admin', keyName: 'admin', team: null, isAdmin: true },
      policy: { role: 'owner' },
    });
    expect(authenticator.authenticate(bearer('sk-bound'))).toMatchObject({
      principal: { team: null, overrides: ['strategy'] },
    });
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
    authenticator.forget(['key_1']);
    await expect(ask('sk-a')).rejects.toEqual(refusal('invalid_api_key'));
  });

  test('that changes while it is asked for is not remembered as it was', async () => {
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const before = ask('sk-a');
    while (questions === 0) await ledgerBus.flush();
    answer = null;
    authenticator.forget(['key_other']);
    open();
    await before;
    await expect(ask('sk-a')).rejects.toEqual(refusal('invalid_api_key'));
  });
});

describe('a key is looked at with each request', () => {
  test('and is refused from the moment it expires', async () => {
    policy = { expiresEpochMs: 10 };
    now = 9;
    await ask('sk-a');
    now = 10;
    await expect(ask('sk-a')).rejects.toEqual(refusal('key_expired'));
    await expect(ask('sk-bound')).rejects.toEqual(refusal('key_expired'));
    expect(questions).toBe(1);
  });

  test('and is refused while it is blocked', async () => {
    policy = { isBlocked: true };
    await expect(ask('sk-a')).rejects.toEqual(refusal('key_blocked'));
    policy = {};
    authenticator.forget(undefined);
    expect(await ask('sk-a')).toEqual(known);
  });

  test('and is refused from elsewhere than its networks', async () => {
    policy = { networks: ['10.0.0.0/8'] };
    expect((await askAs('sk-a', '10.1.1.1')).policy).toEqual(policy);
    for (const address of ['203.0.113.1', undefined, '192.0.2.1'])
      await expect(askAs('sk-a', address)).rejects.toEqual(refusal('network_not_allowed'));
    const forwarded = { ...bearer('sk-a'), 'x-forwarded-for': '10.1.1.1' };
    expect(authenticator.authenticate(forwarded, '192.0.2.1')).toMatchObject({ principal: known });
    expect(() => authenticator.authenticate(forwarded, '203.0.113.1')).toThrow(refusal('network_not_allowed'));
  });
});

test('a key of which nothing changed is not asked for anew', async () => {
  await ask('sk-a');
  authenticator.forget(['key_2']);
  authenticator.forget([]);
  await ask('sk-a');
  expect(questions).toBe(1);
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
