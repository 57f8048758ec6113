import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import type { JWK, JWTPayload } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { IssuerConfig } from '../../shared/config.ts';
import type { KnownCaller } from './caller.ts';
import { TokenVerifier } from './verify-token.ts';

const START = Date.UTC(2026, 0);
/** A claim that is left out. */
const NONE = undefined as never;
const MINUTE = 60_000;

interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

/** An identity provider, as far as its tokens and published keys go. */
const server = createServer((request, response) => {
  asked.push(request.url ?? '');
  if (isSilent) return;
  if (request.url === '/.well-known/openid-configuration')
    return void response.end(JSON.stringify({ issuer: discovered, jwks_uri: `${url}/keys` }));
  if (request.url === '/keys') return void response.end(JSON.stringify({ keys: published.map(({ jwk }) => jwk) }));
  response.writeHead(404).end();
});
let url: string;
let discovered: string;
let isSilent = false;
let published: SigningKey[] = [];
let asked: string[] = [];
let epochMs = START;
let one: SigningKey;
let other: SigningKey;
let verifier: TokenVerifier;

const makeKey = async (kid: string): Promise<SigningKey> => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
};

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  [one, other] = await Promise.all([makeKey('one'), makeKey('other')]);
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const issuer = (more: Partial<IssuerConfig> = {}): IssuerConfig => ({
  ...{ issuer: url, name: 'acme', audience: ['sluice', 'api'], jwksUrl: `${url}/keys` },
  claims: { user: 'sub', team: 'https://acme/team', organisation: 'org', role: 'realm.roles', tags: 'tags' },
  roles: new Map([
    ['boss', 'admin'],
    ['reader', 'viewer'],
  ]),
  ...more,
});
const verifierOf = (config: IssuerConfig): TokenVerifier =>
  new TokenVerifier([config], { now: () => epochMs, epochMs: () => epochMs });

beforeEach(() => {
  published = [one];
  asked = [];
  isSilent = false;
  discovered = url;
  epochMs = START;
  verifier = verifierOf(issuer());
});

const claims = (more: JWTPayload = {}): JWTPayload => ({
  ...{ iss: url, aud: 'sluice', sub: 'ada', exp: START / 1_000 + 600 },
  ...more,
});
const sign = (payload: JWTPayload, { kid, privateKey } = one): Promise<string> =>
  new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
const verify = async (token: string): Promise<KnownCaller['caller']> => {
  const found = verifier.issuerOf(token);
  if (found === undefined) throw new Error('of no issuer');
  return (await verifier.verify(found, token, token)).caller;
};
const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

describe('a token stands for', () => {
  test('its user, who may not name another', async () => {
    expect(await verify(await sign(claims()))).toEqual({
      principal: { keyId: 'jwt:acme', keyName: 'acme', team: null, user: 'ada' },
      policy: { expiresEpochMs: START + 605_000, mayName: ['feature', 'session', 'tags'] },
    });
  });

  test('the team, organisation, role and tags that its claims say', async () => {
    const said = {
      ...{ 'https://acme/team': 'search', org: ['acme', 'more'], realm: { roles: ['reader', 'x', 'boss'] } },
      tags: { env: 'test', 'a b': 'no', n: 1, long: 'x'.repeat(130) },
    };
    expect(await verify(await sign(claims(said)))).toMatchObject({
      principal: { team: 'search', organisation: 'acme', user: 'ada', isAdmin: true },
      policy: { role: 'admin', tags: { env: 'test' } },
    });
  });

  test('a caller where its role means nothing here', async () => {
    const { principal, policy } = await verify(await sign(claims({ realm: { roles: 'owner' } })));
    expect(principal.isAdmin).toBeUndefined();
    expect(policy.role).toBeUndefined();
  });
});

describe('a token is refused', () => {
  test.each<{ why: string; code: string; more: JWTPayload }>([
    { why: 'expired', code: 'key_expired', more: { exp: START / 1_000 - 6 } },
    { why: 'for somebody else', code: 'invalid_api_key', more: { aud: 'others' } },
    { why: 'not yet good', code: 'invalid_api_key', more: { nbf: START / 1_000 + 60 } },
    { why: 'without an end', code: 'invalid_api_key', more: { exp: NONE } },
    { why: 'without a user', code: 'invalid_api_key', more: { sub: NONE } },
    { why: 'with a user too long', code: 'invalid_api_key', more: { sub: 'x'.repeat(129) } },
    { why: 'with a user that is two lines', code: 'invalid_api_key', more: { sub: 'a\nb' } },
  ])('$why', async ({ code, more }) => {
    await expect(verify(await sign(claims(more)))).rejects.toEqual(refusal(code));
  });

  test('that another signed, or nobody, or with the key that everybody knows', async () => {
    const forged = await sign(claims(), { ...other, kid: 'one' });
    await expect(verify(forged)).rejects.toEqual(refusal('invalid_api_key'));
    await expect(verify(await sign(claims(), other))).rejects.toEqual(refusal('invalid_api_key'));
    // An unsecured token ends with its second dot, and so is of nobody.
    expect(verifier.issuerOf(new UnsecuredJWT(claims()).encode())).toBeUndefined();
    const symmetric = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      .sign(Buffer.from(JSON.stringify(one.jwk)));
    await expect(verify(symmetric)).rejects.toEqual(refusal('invalid_api_key'));
  });
});

test.each(['sk-sluice-abc', 'a.b.c', 'a.b', `${'a'.repeat(9_000)}.b.c`])('%j is of no issuer', (key) => {
  expect(verifier.issuerOf(key)).toBeUndefined();
});

test('a token of an issuer that is not configured is of none', async () => {
  expect(verifier.issuerOf(await sign(claims({ iss: 'https://elsewhere' })))).toBeUndefined();
});

describe('an issuer’s keys', () => {
  test('are asked for once, and a token is verified once until it expires', async () => {
    const token = await sign(claims({ exp: START / 1_000 + 60 }));
    await Promise.all([verify(token), verify(token)]);
    const found = verifier.issuerOf(token);
    expect(found && verifier.verify(found, token, token)).not.toBeInstanceOf(Promise);
    await verify(await sign(claims({ sub: 'bob' })));
    expect(asked).toEqual(['/keys']);
    epochMs = START + 65_000;
    await expect(verify(token)).rejects.toEqual(refusal('key_expired'));
  });

  test('are found by discovery where the configuration does not say', async () => {
    verifier = verifierOf(issuer({ jwksUrl: undefined }));
    await verify(await sign(claims()));
    expect(asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  test('are not taken from what is another issuer’s', async () => {
    discovered = 'https://elsewhere';
    verifier = verifierOf(issuer({ jwksUrl: undefined }));
    await expect(verify(await sign(claims()))).rejects.toEqual(refusal('issuer_unavailable'));
    expect(asked).toEqual(['/.well-known/openid-configuration']);
  });

  test('that cannot be had refuse nobody for good', async () => {
    verifier = verifierOf(issuer({ jwksUrl: `${url}/none` }));
    const refused = verify(await sign(claims()));
    await expect(refused).rejects.toEqual(refusal('issuer_unavailable'));
    await expect(refused).rejects.toMatchObject({ retryAfterMs: 1_000 });
  });

  test('that do not come in time are not waited for', { timeout: 10_000 }, async () => {
    isSilent = true;
    await expect(verify(await sign(claims()))).rejects.toEqual(refusal('issuer_unavailable'));
  });

  test('that are new are asked for, once the last question is a while ago', { timeout: 20_000 }, async () => {
    await verify(await sign(claims()));
    published = [other];
    const rotated = await sign(claims(), other);
    // jose has no clock to be handed: the rest between two questions is real.
    while (
      await verify(rotated).then(
        () => false,
        () => true,
      )
    )
      await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toEqual(['/keys', '/keys']);
    // One that was withdrawn is good for nobody new, and for whom it was good, ten minutes more at most.
    await expect(verify(await sign(claims({ sub: 'eve' })))).rejects.toEqual(refusal('invalid_api_key'));
    const long = await sign(claims({ exp: START / 1_000 + 3_600 }), other);
    await verify(long);
    epochMs = START + 10 * MINUTE;
    const found = verifier.issuerOf(long);
    expect(found && verifier.verify(found, long, long)).toBeInstanceOf(Promise);
  });
});
