import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';
import type { JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.ts';
import type { IssuerConfig } from '../../shared/config.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { KnownCaller } from './caller.ts';
import { knownCaller } from './caller.ts';
import { callerOf } from './core/read-claims.ts';

const FETCH_TIMEOUT_MS = 3_000;
/** An issuer that rotates its keys signs with the new one long after it has published it. */
const KEYS_KEPT_MS = 10 * 60_000;
/** A key that nobody knows makes us ask for the issuer's keys again, this often at most. */
const COOLDOWN_MS = 5_000;
/** A failed discovery is not repeated before. */
const DISCOVERY_REST_MS = 1_000;
/** A token that was good is good until it expires, but looked at again after this long: its issuer may have withdrawn a key. */
const BELIEVED_MS = KEYS_KEPT_MS;
/** Beyond this the oldest is verified again when it comes again. */
const MAX_CACHED = 10_000;
const MAX_UNDER_WAY = 1_000;
const MAX_TOKEN_CHARS = 8_192;
/** Clocks of two machines. */
const TOLERANCE_S = 5;
/** Signatures that only the issuer can make; never a shared secret, never `none`. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];

/** OpenID Connect Discovery 1.0, section 3: as much of it as is needed. */
const Discovery = z.looseObject({ issuer: z.string(), jwks_uri: z.url() });

/** An issuer whose tokens are believed, and where its keys come from. */
export interface Issuer {
  readonly config: IssuerConfig;
  /** undefined: not asked for yet, or in vain. */
  keys: Promise<JWTVerifyGetKey> | undefined;
}

interface Verified {
  readonly known: KnownCaller;
  readonly untilEpochMs: number;
}

/** Bearer tokens (JWT, RFC 9068) of configured issuers → callers. What was verified is remembered by the token's digest. */
export class TokenVerifier {
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #clock: Clock;
  readonly #verified = new Map<string, Verified>();
  readonly #underWay = new Map<string, Promise<KnownCaller>>();

  constructor(issuers: readonly IssuerConfig[], clock: Clock) {
    this.#issuers = new Map(issuers.map((config) => [config.issuer, { config, keys: undefined }]));
    this.#clock = clock;
  }

  /** Who claims to have made it; undefined: it is no token of any issuer that is known, and may be a key. Nothing is verified. */
  issuerOf(token: string): Issuer | undefined {
    if (token.length > MAX_TOKEN_CHARS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
    try {
      return this.#issuers.get(decodeJwt(token).iss ?? '');
    } catch {
      // It only looks like a token: then it is a key, or nothing.
      return undefined;
    }
  }

  /**
   * Whom the token stands for: at once when it was verified before.
   * @throws GatewayError(`invalid_api_key`, `key_expired`), or `issuer_unavailable` when its issuer's keys cannot be had
   */
  verify(issuer: Issuer, token: string, digest: string): KnownCaller | Promise<KnownCaller> {
    const verified = this.#verified.get(digest);
    if (verified !== undefined && this.#clock.epochMs() < verified.untilEpochMs) return verified.known;
    const running = this.#underWay.get(digest);
    if (running !== undefined) return running;
    if (this.#underWay.size >= MAX_UNDER_WAY)
      throw new GatewayError('overloaded', 'Too many tokens are being checked.');
    const verifying = this.#check(issuer, token, digest).finally(() => this.#underWay.delete(digest));
    this.#underWay.set(digest, verifying);
    return verifying;
  }

  async #check(issuer: Issuer, token: string, digest: string): Promise<KnownCaller> {
    const { config } = issuer;
    const epochMs = this.#clock.epochMs();
    try {
      const { payload } = await jwtVerify(token, await this.#keysOf(issuer), {
        issuer: config.issuer,
        audience: [...config.audience],
        algorithms: ALGORITHMS,
        requiredClaims: ['exp'],
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(epochMs),
      });
      const expiresEpochMs = ((payload.exp ?? 0) + TOLERANCE_S) * 1_000;
      const known = knownCaller(callerOf(payload, config, expiresEpochMs));
      this.#remember(digest, { known, untilEpochMs: Math.min(expiresEpochMs, epochMs + BELIEVED_MS) });
      return known;
    } catch (failure) {
      throw explain(failure);
    }
  }

  #remember(digest: string, verified: Verified): void {
    this.#verified.delete(digest);
    if (this.#verified.size >= MAX_CACHED) this.#verified.delete(this.#verified.keys().next().value as string);
    this.#verified.set(digest, verified);
  }

  /** One question for all; where it failed, the next token asks again. */
  #keysOf(issuer: Issuer): Promise<JWTVerifyGetKey> {
    issuer.keys ??= findKeys(issuer.config).catch((failure: unknown) => {
      setTimeout(() => (issuer.keys = undefined), DISCOVERY_REST_MS).unref();
      throw failure;
    });
    return issuer.keys;
  }
}

async function findKeys({ issuer, jwksUrl }: IssuerConfig): Promise<JWTVerifyGetKey> {
  const url = jwksUrl ?? (await discover(issuer));
  return createRemoteJWKSet(new URL(url), {
    timeoutDuration: FETCH_TIMEOUT_MS,
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: KEYS_KEPT_MS,
  });
}

/** Where an issuer publishes its keys, in its own words. */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS), redirect: 'error' });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const { issuer: named, jwks_uri } = Discovery.parse(await response.json());
  if (named !== issuer) throw new Error(`${url} is of another issuer`);
  return jwks_uri;
}

/** What is wrong with the token is told; what is wrong between us and its issuer is for the log. */
function explain(failure: unknown): GatewayError {
  if (failure instanceof GatewayError) return failure;
  if (failure instanceof errors.JWTExpired) return new GatewayError('key_expired', 'The token has expired.');
  if (failure instanceof errors.JWTClaimValidationFailed)
    return new GatewayError('invalid_api_key', `The token's claim ${failure.claim} is not accepted.`, {
      cause: failure,
    });
  if (FAULTS_OF_TOKENS.some((fault) => failure instanceof fault))
    return new GatewayError('invalid_api_key', 'The token is not valid.', { cause: failure });
  return new GatewayError('issuer_unavailable', 'The token cannot be checked now: its issuer does not answer.', {
    retryAfterMs: DISCOVERY_REST_MS,
    cause: failure,
  });
}

const FAULTS_OF_TOKENS = [
  errors.JWTInvalid,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys,
];
