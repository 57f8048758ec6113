import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Bus } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import type { AuthConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import { KeyAnswer } from '../../shared/messages/key.ts';
import type { KeyQuery } from '../../shared/messages/key.ts';
import { ledgerSubject } from '../../shared/subjects.ts';

/** A known key is asked for anew after this long; a revoked one is forgotten at once, by message. */
const FRESH_MS = 60_000;
/** While the ledger is away, a key that it knew is believed for this long. */
const STALE_MS = 10 * 60_000;
/** An unknown key is asked for again after this long: it may have been made meanwhile. */
const UNKNOWN_MS = 2_000;
const MAX_CACHED = 100_000;
const MAX_LOOKUPS = 1_000;
const LOOKUP_TIMEOUT_MS = 2_000;
const MAX_KEY_CHARS = 512;

interface Cached {
  readonly principal: Principal | null;
  readonly at: Millis;
}

/**
 * Key → principal. Keys are known by their SHA-256 alone: those of the configuration are hashed at start, those of the
 * ledger are stored so. A lookup by hash tells nothing by its time about a key, since nobody can choose a hash's prefix.
 */
export class Authenticator {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #configured = new Map<string, Principal>();
  readonly #cache = new Map<string, Cached>();
  readonly #lookups = new Map<string, Promise<Principal | null>>();

  constructor(auth: AuthConfig, bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
    if (auth.adminKey !== undefined) {
      const admin = { keyId: 'config:admin', keyName: 'admin', team: null, isAdmin: true };
      this.#configured.set(hashOf(auth.adminKey), admin);
    }
    for (const { name, key, team, overrides } of auth.keys) {
      const principal = { keyId: `config:${name}`, keyName: name, team: team ?? null };
      this.#configured.set(hashOf(key), overrides === 'all' ? principal : { ...principal, overrides: [...overrides] });
    }
  }

  /**
   * The principal of a request's key: at once when it is known, else as a promise.
   * @throws GatewayError(`invalid_api_key`) or, when only the ledger could tell and is away, `ledger_unavailable`
   */
  authenticate(headers: IncomingHttpHeaders): Principal | Promise<Principal> {
    const digest = hashOf(keyOf(headers));
    const configured = this.#configured.get(digest);
    if (configured !== undefined) return configured;
    const cached = this.#cache.get(digest);
    const age = cached === undefined ? Infinity : this.#clock.now() - cached.at;
    if (cached !== undefined && cached.principal !== null && age < FRESH_MS) return cached.principal;
    if (cached !== undefined && cached.principal === null && age < UNKNOWN_MS) throw unknownKey();
    return this.#resolve(digest, cached, age);
  }

  /** A key changed: what is known of it is forgotten, and what is being asked may be the old truth by now. */
  forget(digest: string): void {
    this.#cache.delete(digest);
    this.#lookups.delete(digest);
  }

  async #resolve(digest: string, cached: Cached | undefined, age: Millis): Promise<Principal> {
    let principal: Principal | null;
    try {
      principal = await this.#lookUp(digest);
    } catch (cause) {
      if (cached?.principal != null && age < STALE_MS) return cached.principal;
      throw new GatewayError('ledger_unavailable', 'The key cannot be checked now.', { retryAfterMs: 1_000, cause });
    }
    if (principal === null) throw unknownKey();
    return principal;
  }

  /** One question for all requests that come with the same key meanwhile. */
  #lookUp(digest: string): Promise<Principal | null> {
    const running = this.#lookups.get(digest);
    if (running !== undefined) return running;
    if (this.#lookups.size >= MAX_LOOKUPS)
      return Promise.reject(new GatewayError('overloaded', 'Too many keys are being checked.'));
    const question: KeyQuery = { v: 1, hash: digest };
    const lookup = this.#bus
      .request(ledgerSubject('key'), question, KeyAnswer, LOOKUP_TIMEOUT_MS)
      .then(({ principal }) => {
        if (this.#lookups.get(digest) !== lookup) return principal;
        if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value as string);
        this.#cache.set(digest, { principal, at: this.#clock.now() });
        return principal;
      })
      .finally(() => {
        if (this.#lookups.get(digest) === lookup) this.#lookups.delete(digest);
      });
    this.#lookups.set(digest, lookup);
    return lookup;
  }
}

function hashOf(key: string): string {
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
  if (key.length > MAX_KEY_CHARS) throw unknownKey();
  return key;
}

function unknownKey(): GatewayError {
  return new GatewayError('invalid_api_key', 'Incorrect API key provided.');
}
