import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Bus } from '../../shared/bus.ts';
import type { Clock } from '../../shared/clock.ts';
import type { AuthConfig, KeyConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { KeyQuery } from '../../shared/messages/key.ts';
import { KeyAnswer } from '../../shared/messages/key.ts';
import { Networks } from '../../shared/networks.ts';
import { ledgerSubject } from '../../shared/subjects.ts';
import type { Caller, KnownCaller } from './caller.ts';
import { admitCaller, knownCaller } from './caller.ts';
import { clientAddress } from './core/client-address.ts';
import { KeyCache } from './core/key-cache.ts';
import { TokenVerifier } from './verify-token.ts';

/** A known key is asked for anew after this long; one that changed is forgotten within a second (revision-watch.ts). */
const FRESH_MS = 60_000;
/** While the ledger is away, a key that it knew is believed for this long. */
const STALE_MS = 10 * 60_000;
/** An unknown key is asked for again after this long: it may have been made meanwhile. */
const UNKNOWN_MS = 2_000;
const MAX_CACHED = 100_000;
const MAX_LOOKUPS = 1_000;
const LOOKUP_TIMEOUT_MS = 2_000;
const MAX_KEY_CHARS = 512;

/** null: the ledger knows no such key. */
type Looked = KnownCaller | null;

export interface AuthenticatorOptions {
  /** Networks (CIDR) of proxies whose `x-forwarded-for` is believed. */
  readonly trustedProxies?: readonly string[];
}

/**
 * Key → caller. Keys are known by their SHA-256 alone: those of the configuration are hashed at start, the ledger is asked
 * by it. A lookup by hash tells nothing by its time about a key, since nobody can choose a hash's prefix. Tokens of
 * configured issuers (JWT) are checked here, by verify-token.ts.
 */
export class Authenticator {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #tokens: TokenVerifier | undefined;
  readonly #trustedProxies: Networks | undefined;
  readonly #configured = new Map<string, KnownCaller>();
  readonly #cache = new KeyCache<Looked>(MAX_CACHED);
  /** Emptied when anything is forgotten: what is being asked may be the old truth by now. */
  readonly #lookups = new Map<string, Promise<Looked>>();

  constructor(auth: AuthConfig, bus: Bus, clock: Clock, { trustedProxies = [] }: AuthenticatorOptions = {}) {
    this.#bus = bus;
    this.#clock = clock;
    this.#tokens = auth.jwt.length === 0 ? undefined : new TokenVerifier(auth.jwt, clock);
    this.#trustedProxies = trustedProxies.length === 0 ? undefined : new Networks(trustedProxies);
    if (auth.adminKey !== undefined) this.#configured.set(digestOf(auth.adminKey), knownCaller(ADMIN));
    for (const key of auth.keys) this.#configured.set(digestOf(key.key), knownCaller(configuredCaller(key)));
  }

  /**
   * Who makes a request: at once when that is known, else as a promise.
   * @param socketAddress the socket's other end; undefined for one that is closed
   * @throws GatewayError(`invalid_api_key`, `key_expired`, `key_blocked`, `network_not_allowed`) or, when only the ledger or
   * a token's issuer could tell and is away, `ledger_unavailable`, `issuer_unavailable`
   */
  authenticate(headers: IncomingHttpHeaders, socketAddress?: string): Caller | Promise<Caller> {
    const key = keyOf(headers);
    const found = this.#find(key);
    const admit = (known: KnownCaller): Caller => {
      const address = known.networks === undefined ? '' : this.addressOf(headers, socketAddress);
      return admitCaller(known, address, this.#clock.epochMs());
    };
    return found instanceof Promise ? found.then(admit) : admit(found);
  }

  /** Where a request comes from, through proxies that are trusted; '' when nobody knows. */
  addressOf(headers: IncomingHttpHeaders, socketAddress?: string): string {
    return clientAddress(socketAddress, headers['x-forwarded-for'], this.#trustedProxies);
  }

  /** Keys changed, named by their ids, or any may have: what is known of them is forgotten. */
  forget(keyIds: readonly string[] | undefined): void {
    if (keyIds === undefined) this.#cache.clear();
    else for (const keyId of keyIds) this.#cache.forgetKey(keyId);
    this.#lookups.clear();
  }

  #find(key: string): KnownCaller | Promise<KnownCaller> {
    const digest = digestOf(key);
    const configured = this.#configured.get(digest);
    if (configured !== undefined) return configured;
    const issuer = this.#tokens?.issuerOf(key);
    if (issuer !== undefined && this.#tokens !== undefined) return this.#tokens.verify(issuer, key, digest);
    if (key.length > MAX_KEY_CHARS) throw unknownKey();
    const cached = this.#cache.get(digest);
    const age = cached === undefined ? Infinity : this.#clock.now() - cached.at;
    if (cached !== undefined && cached.value !== null && age < FRESH_MS) return cached.value;
    if (cached !== undefined && cached.value === null && age < UNKNOWN_MS) throw unknownKey();
    return this.#resolve(digest, age < STALE_MS ? cached?.value : undefined);
  }

  /** @param known what it was of late: it counts while the ledger is away */
  async #resolve(digest: string, known: Looked | undefined): Promise<KnownCaller> {
    let looked: Looked;
    try {
      looked = await this.#lookUp(digest);
    } catch (cause) {
      if (known != null) return known;
      throw new GatewayError('ledger_unavailable', 'The key cannot be checked now.', { retryAfterMs: 1_000, cause });
    }
    if (looked === null) throw unknownKey();
    return looked;
  }

  /** One question for all requests that come with the same key meanwhile. */
  #lookUp(digest: string): Promise<Looked> {
    const running = this.#lookups.get(digest);
    if (running !== undefined) return running;
    if (this.#lookups.size >= MAX_LOOKUPS)
      return Promise.reject(new GatewayError('overloaded', 'Too many keys are being checked.'));
    const question: KeyQuery = { v: 1, hash: digest };
    const lookup = this.#bus
      .request(ledgerSubject('key'), question, KeyAnswer, LOOKUP_TIMEOUT_MS)
      .then(({ principal, policy = {} }) => {
        const looked = principal === null ? null : knownCaller({ principal, policy });
        if (this.#lookups.get(digest) === lookup) this.#cache.set(digest, principal?.keyId, looked, this.#clock.now());
        return looked;
      })
      .finally(() => {
        if (this.#lookups.get(digest) === lookup) this.#lookups.delete(digest);
      });
    this.#lookups.set(digest, lookup);
    return lookup;
  }
}

const ADMIN: Caller = {
  principal: { keyId: 'config:admin', keyName: 'admin', team: null, isAdmin: true },
  policy: { role: 'owner' },
};

function configuredCaller({ name, team, user, organisation, overrides, policy }: KeyConfig): Caller {
  const isAdmin = policy.role === 'owner' || policy.role === 'admin';
  return {
    principal: {
      ...{ keyId: `config:${name}`, keyName: name, team: team ?? null },
      ...(organisation !== undefined && { organisation }),
      ...(user !== undefined && { user }),
      ...(isAdmin && { isAdmin }),
      ...(overrides !== 'all' && { overrides: [...overrides] }),
    },
    policy,
  };
}

function digestOf(key: string): string {
  return hash('sha256', key, 'hex');
}

/** `Authorization: Bearer`, as OpenAI's SDKs send it; `x-api-key` and `api-key` as others do. */
function keyOf(headers: IncomingHttpHeaders): string {
  const { authorization } = headers;
  const bearer =
    authorization !== undefined && /^bearer /i.test(authorization)
      ? authorization.slice('bearer '.length).trim()
      : undefined;
  const key = bearer ?? headers['x-api-key'] ?? headers['api-key'];
  if (typeof key !== 'string' || key === '') {
    throw new GatewayError(
      'invalid_api_key',
      "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`.",
    );
  }
  return key;
}

function unknownKey(): GatewayError {
  return new GatewayError('invalid_api_key', 'Incorrect API key provided.');
}
