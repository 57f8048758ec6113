import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runIngress } from '../../infra/services.ts';
import type { RunningIngress } from '../../infra/services.ts';
import { blockScope, unblockScope } from '../../services/ledger/rules/blocks.ts';
import { openDatabase } from '../../services/ledger/database/database.ts';
import type { CreatedKey, NewKey } from '../../services/ledger/principals/keys.ts';
import { blockKey, createKey, revokeKey, rotateKey, unblockKey } from '../../services/ledger/principals/keys.ts';
import { announceRules, bumpRevision, inOneRevision } from '../../services/ledger/rules/revision.ts';
import type { Change } from '../../services/ledger/rules/revision.ts';
import type { Database } from '../../services/ledger/database/schema.ts';
import { Bus } from '../../shared/bus.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLog } from '../../shared/log.ts';
import { startTestGateway, testSecret, untilReady } from '../support/gateway.ts';
import type { TestGateway } from '../support/gateway.ts';
import { expectOpenAiError } from '../support/openai-error.ts';
import { startProvider } from '../support/provider.ts';
import type { ScriptedProvider } from '../support/provider.ts';

const log = createLog('silent', 'test');
/** Within this every ingress must know; a machine that does ten other things may take as long again. */
const KNOWN_WITHIN_MS = 2_000;

let provider: ScriptedProvider;
let gateway: TestGateway;
let second: RunningIngress;
let db: Database;
let bus: Bus;
let signToken: (claims: Record<string, unknown>) => Promise<string>;
let stopIssuer: () => void;

beforeAll(async () => {
  provider = await startProvider({ defaults: 'n=2' });
  const issuer = await startIssuer();
  ({ sign: signToken, stop: stopIssuer } = issuer);
  gateway = await startTestGateway({
    log: 'silent',
    server: 'trusted_proxies: [127.0.0.2, 127.0.0.1]',
    auth: `  jwt: [{ issuer: "${issuer.url}", name: acme, audience: sluice, jwks_url: "${issuer.url}/keys", claims: { team: team } }]`,
    yaml: `providers:
  one: { base_url: "${provider.url}/v1", models: { small: {}, big: {} }, region: eu }
  two: { base_url: "${provider.url}/v1", models: { small: {} }, region: us }
routes: { chat: { targets: [one/big, two/small] } }`,
  });
  const { config, nats, databaseUrl } = gateway;
  second = await runIngress({ config, natsUrl: nats.url, clock: systemClock, log, registry: new Registry() });
  await untilReady(second.url);
  db = openDatabase({ url: databaseUrl, log });
  bus = await Bus.connect({ url: nats.url, name: 'test', log });
});

afterAll(async () => {
  await second.stop(100);
  await db.destroy();
  await bus.close();
  await gateway.stop();
  await provider.stop();
  stopIssuer();
});

async function startIssuer() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] });
  const server = createServer((_request, response) => void response.end(keys));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sign = (claims: Record<string, unknown>): Promise<string> =>
    new SignJWT({ iss: url, aud: 'sluice', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setExpirationTime('10m')
      .sign(privateKey);
  return { url, sign, stop: () => server.close() };
}

let made = 0;
const create = (spec: Partial<NewKey> = {}): Promise<CreatedKey> =>
  createKey(db, { name: `key-${made++}`, ...spec }, testSecret);
const ask = (token: string, { url = gateway.url, model = 'one/small', headers = {} } = {}): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }),
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
  });
const statusOf = async (...args: Parameters<typeof ask>): Promise<number> => {
  const response = await ask(...args);
  await response.text();
  return response.status;
};
/** Waits until both ingresses answer so. */
async function untilBoth(token: string, status: number): Promise<void> {
  const begunAt = performance.now();
  for (const { url } of [gateway, second])
    while ((await statusOf(token, { url })) !== status)
      expect(performance.now() - begunAt, `until ${status}`).toBeLessThan(KNOWN_WITHIN_MS);
}

describe.each([{ isLost: false }, { isLost: true }])(
  'every ingress knows within a second: message lost $isLost',
  ({ isLost }) => {
    const make = async (change: (tx: Database) => Promise<unknown>, named: Change): Promise<void> => {
      const { revision } = await inOneRevision(db, change);
      if (!isLost) announceRules(bus, { revision, ...named });
    };

    test('that a key is blocked, unblocked and revoked', async () => {
      const { id, token } = await create();
      await untilBoth(token, 200);
      await make((tx) => blockKey(tx, id), { keys: [id] });
      await untilBoth(token, 401);
      await expectOpenAiError(await ask(token), 'key_blocked');
      await make((tx) => unblockKey(tx, id), { keys: [id] });
      await untilBoth(token, 200);
      await make((tx) => revokeKey(tx, id), { keys: [id] });
      await untilBoth(token, 401);
      await expectOpenAiError(await ask(token), 'invalid_api_key');
    });

    test.each(['team', 'user', 'organisation', 'key', 'model', 'tag', 'total', 'team:*'])(
      'that everybody of a scope is switched off, and on again: %s',
      async (kind) => {
        const team = `team-${made}`;
        const { id, token } = await create({ team, user: 'ada', organisation: 'acme', tags: { env: team } });
        await untilBoth(token, 200);
        const scope =
          { team: `team:${team}`, user: 'user:ada', organisation: 'organisation:acme', key: `key:${id}` }[kind] ??
          { model: 'model:one/small', tag: `tag:env=${team}` }[kind] ??
          kind;
        await make((tx) => blockScope(tx, { scope, reason: 'a runaway loop', by: 'test' }), { scopes: [scope] });
        await untilBoth(token, 403);
        const { message } = await expectOpenAiError(await ask(token), 'scope_blocked');
        expect(message).toContain('a runaway loop');
        await make((tx) => unblockScope(tx, scope), { scopes: [scope] });
        await untilBoth(token, 200);
      },
    );

    test('that somebody changed a row by hand, and raised the revision', async () => {
      const { id, token } = await create();
      await untilBoth(token, 200);
      await make(
        async (tx) => {
          await tx
            .updateTable('api_keys')
            .set({ expires_at: new Date(0) })
            .where('id', '=', id)
            .execute();
          await bumpRevision(tx);
        },
        { keys: [id] },
      );
      await untilBoth(token, 401);
      await expectOpenAiError(await ask(token), 'key_expired');
    });
  },
);

test('a rotated key has two tokens until the overlap ends', async () => {
  const { id, token } = await create();
  const rotate = async (overlapMs: number): Promise<string> => {
    const { value, revision } = await inOneRevision(db, (tx) => rotateKey(tx, id, { secret: testSecret, overlapMs }));
    announceRules(bus, { revision, keys: [id] });
    return value.token;
  };
  const fresh = await rotate(3_600_000);
  expect([await statusOf(token), await statusOf(fresh)]).toEqual([200, 200]);
  const last = await rotate(0);
  await untilBoth(fresh, 401);
  await expectOpenAiError(await ask(fresh), 'key_expired');
  expect(await statusOf(last)).toBe(200);
});

test('a key is good from its networks only, which a trusted proxy tells', async () => {
  const here = await create({ networks: ['127.0.0.0/8', '::1'] });
  const there = await create({ networks: ['10.0.0.0/8'] });
  expect(await statusOf(here.token)).toBe(200);
  await expectOpenAiError(await ask(there.token), 'network_not_allowed');
  expect(await statusOf(there.token, { headers: { 'x-forwarded-for': '6.6.6.6, 10.0.0.7' } })).toBe(200);
  const forged = { headers: { 'x-forwarded-for': '10.0.0.7, 6.6.6.6' } };
  await expectOpenAiError(await ask(there.token, forged), 'network_not_allowed');
});

test('a key may ask for its models and routes only, and is shown no others', async () => {
  const { token } = await create({ models: ['one/*'], routes: ['chat'] });
  expect(await statusOf(token, { model: 'one/big' })).toBe(200);
  expect(await statusOf(token, { model: 'chat' })).toBe(200);
  await expectOpenAiError(await ask(token, { model: 'two/small' }), 'model_not_allowed', 'model');
  const fallback = { model: 'chat', headers: { 'x-sluice-fallbacks': 'two/small' } };
  await expectOpenAiError(await ask(token, fallback), 'model_not_allowed', 'sluice.fallbacks');
  const headers = { authorization: `Bearer ${token}` };
  const list = (await (await fetch(`${gateway.url}/v1/models`, { headers })).json()) as { data: { id: string }[] };
  expect(list.data.map(({ id }) => id)).toEqual(['chat', 'one/small', 'one/big']);
  await expectOpenAiError(await fetch(`${gateway.url}/v1/models/two/small`, { headers }), 'model_not_found', 'model');
});

test('a key is served in its regions only', async () => {
  const { token } = await create({ regions: ['us'] });
  const response = await ask(token, { model: 'chat' });
  await response.text();
  expect(response.status).toBe(200);
  await expectOpenAiError(await ask(token, { model: 'one/small' }), 'no_capable_deployment');
  const elsewhere = { model: 'chat', headers: { 'x-sluice-regions': 'eu' } };
  await expectOpenAiError(await ask(token, elsewhere), 'model_not_allowed', 'sluice.regions');
});

test('a token of a configured issuer stands for its user, in usage and for the kill switch', async () => {
  const token = await signToken({ sub: 'grace', team: 'compilers' });
  const response = await ask(token);
  await response.text();
  expect(response.status).toBe(200);
  const [row] = await gateway.rowsOf(response.headers.get('x-request-id') ?? '', 1);
  expect(row).toMatchObject({ key_id: 'jwt:acme', key_name: 'acme', team: 'compilers' });
  await expectOpenAiError(await ask(`${token.slice(0, -4)}AAAA`), 'invalid_api_key');

  const { revision } = await inOneRevision(db, (tx) =>
    blockScope(tx, { scope: 'user:grace', reason: 'on leave', by: 'test' }),
  );
  announceRules(bus, { revision, scopes: ['user:grace'] });
  await untilBoth(token, 403);
  expect(await statusOf(await signToken({ sub: 'alan' }))).toBe(200);
});
