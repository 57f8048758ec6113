import { createHash, randomBytes, randomUUIDv7, timingSafeEqual } from 'node:crypto';
import { sql } from 'kysely';
import { DatabaseError } from 'pg';
import type { Bus } from '../../shared/bus.ts';
import type { OverridesAllowed } from '../../shared/config/types.ts';
import { OVERRIDE_NAMES } from '../../shared/config/types.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import type { KeyChanged } from '../../shared/messages/key.ts';
import { KEYS_CHANGED } from '../../shared/subjects.ts';
import type { Database } from './schema.ts';

const TOKEN_START = 'sk-sluice-';
/** 256 bits: not to be guessed, so a plain hash keeps them; a slow one is for passwords. */
const TOKEN_BYTES = 32;
const SHOWN_CHARACTERS = 4;
/** As `Principal` has them. */
const MAX_NAME = 256;
const FIRST_KEY_LOCK = 7_583_002;
const UNIQUE_VIOLATION = '23505';

export interface NewKey {
  readonly name: string;
  readonly team?: string | null;
  readonly isAdmin?: boolean;
  /** What its requests may say of their own routing; default: all. */
  readonly overrides?: OverridesAllowed;
}

export interface CreatedKey {
  readonly id: string;
  readonly name: string;
  /** Shown now or never: only its hash is kept. */
  readonly token: string;
  readonly prefix: string;
}

export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  /** `sk-sluice-ab12`: what a list shows, followed by an ellipsis. */
  readonly prefix: string;
  readonly team: string | null;
  readonly isAdmin: boolean;
  /** Names as in `OVERRIDE_NAMES`, as far as this version knows them. */
  readonly overrides: 'all' | readonly string[];
  readonly createdEpochMs: number;
  readonly revokedEpochMs: number | null;
}

export interface RevokedKey extends KeyRecord {
  /** For `announceKeyChange`. */
  readonly hash: string;
}

/** SHA-256 of a token, lower-case hex: what ingress and ledger tell each other, and what is stored. */
export function hashOfToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * @throws GatewayError(`invalid_request`, param `name`, `team` or `overrides`): a bad name, one that a live key has
 * already, or no override's
 */
export async function createKey(
  db: Database,
  { name, team = null, isAdmin = false, overrides = 'all' }: NewKey,
): Promise<CreatedKey> {
  checkName(name, 'name');
  if (team !== null) checkName(team, 'team');
  if (overrides !== 'all') checkOverrides(overrides);
  const secret = randomBytes(TOKEN_BYTES).toString('base64url');
  const token = TOKEN_START + secret;
  const prefix = TOKEN_START + secret.slice(0, SHOWN_CHARACTERS);
  const id = `key_${randomUUIDv7().replaceAll('-', '')}`;
  const row = {
    ...{ id, name, team, prefix, hash: hashOfToken(token), is_admin: isAdmin, revoked_at: null },
    overrides: overrides === 'all' ? null : [...new Set(overrides)],
  };
  try {
    await db.insertInto('api_keys').values(row).execute();
  } catch (cause) {
    if (!isNameTaken(cause)) throw cause;
    throw new GatewayError('invalid_request', `A key named "${name}" exists already.`, { param: 'name', cause });
  }
  return { id, name, token, prefix };
}

/** All keys, the revoked ones too, oldest first. */
export async function listKeys(db: Database): Promise<KeyRecord[]> {
  const rows = await db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute();
  return rows.map(recordOf);
}

/**
 * Revokes the one live key that `which` names: its id, name, prefix (with or without the ellipsis) or token.
 * Tell the ingresses with `announceKeyChange`, or they go on for one cache lifetime.
 * @throws GatewayError(`invalid_request`): no such key, revoked already, or several begin so
 */
export async function revokeKey(db: Database, which: string): Promise<RevokedKey> {
  const found = await db
    .selectFrom('api_keys')
    .selectAll()
    .where((column) =>
      column.or([
        column('id', '=', which),
        column('name', '=', which),
        column('prefix', '=', which.replace(/(…|\.\.\.)$/, '')),
        column('hash', '=', hashOfToken(which)),
      ]),
    )
    .execute();
  const live = found.filter((key) => key.revoked_at === null);
  // A key may be named like the prefix of another; ids are ours and mean one key.
  const [key, ...others] = live.filter((key) => key.id === which).concat(live.filter((key) => key.id !== which));
  if (key === undefined) {
    const why = found.length > 0 ? 'is revoked already' : 'does not exist';
    throw new GatewayError('invalid_request', `The key "${shown(which)}" ${why}.`, { param: 'key' });
  }
  if (others.length > 0 && key.id !== which) {
    const names = live.map(({ name, id }) => `${name} (${id})`).join(', ');
    throw new GatewayError('invalid_request', `"${which}" means several keys: ${names}.`, { param: 'key' });
  }
  const revoked = await db
    .updateTable('api_keys')
    .set({ revoked_at: sql<Date>`now()` })
    .where('id', '=', key.id)
    .where('revoked_at', 'is', null)
    .returningAll()
    .executeTakeFirst();
  if (revoked !== undefined) return { ...recordOf(revoked), hash: revoked.hash };
  // Somebody else was faster.
  throw new GatewayError('invalid_request', `The key "${shown(which)}" is revoked already.`, { param: 'key' });
}

/** Tells every ingress to forget what it knows of this key. Call `bus.flush()` before the process ends. */
export function announceKeyChange(bus: Bus, { hash }: { readonly hash: string }): void {
  const message: KeyChanged = { v: 1, hash };
  bus.publish(KEYS_CHANGED, message);
}

/** Whose key has this SHA-256 (hex): null when there is none, or it was revoked. What is the default is not in it. */
export async function lookupByHash(db: Database, hash: string): Promise<Principal | null> {
  const key = await db
    .selectFrom('api_keys')
    .select(['id', 'name', 'team', 'hash', 'is_admin', 'overrides'])
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  if (key === undefined || !isSame(key.hash, hash)) return null;
  const { id, name, team, is_admin: isAdmin, overrides } = key;
  return {
    ...{ keyId: id, keyName: name, team },
    ...(isAdmin && { isAdmin }),
    ...(overrides !== null && { overrides }),
  };
}

/**
 * The key `admin`, made once in the life of a database: null when there is any key, also a revoked one. Ledgers that
 * start at once make one between them.
 */
export async function ensureFirstKey(db: Database): Promise<CreatedKey | null> {
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${FIRST_KEY_LOCK})`.execute(transaction);
    const any = await transaction.selectFrom('api_keys').select('id').limit(1).executeTakeFirst();
    return any === undefined ? createKey(transaction, { name: 'admin', isAdmin: true }) : null;
  });
}

function checkName(text: string, param: 'name' | 'team'): void {
  // eslint-disable-next-line no-control-regex -- control characters are what must not pass
  if (text.trim() === text && text !== '' && text.length <= MAX_NAME && !/[\u0000-\u001f\u007f]/.test(text)) return;
  const rule = `1 to ${MAX_NAME} characters, without control characters or spaces around it`;
  throw new GatewayError('invalid_request', `A key's ${param} has ${rule}.`, { param });
}

function checkOverrides(names: readonly string[]): void {
  const known: readonly string[] = OVERRIDE_NAMES;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const message = `"${unknown.slice(0, 64)}" is no override. There are: ${OVERRIDE_NAMES.join(', ')}.`;
  throw new GatewayError('invalid_request', message, { param: 'overrides' });
}

function isNameTaken(failure: unknown): boolean {
  return (
    failure instanceof DatabaseError && failure.code === UNIQUE_VIOLATION && failure.constraint === 'api_keys_live_name'
  );
}

/** A whole token must not end up in a terminal's history or a log once more. */
function shown(which: string): string {
  return which.startsWith(TOKEN_START) ? `${which.slice(0, TOKEN_START.length + SHOWN_CHARACTERS)}…` : which;
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

interface KeyRow {
  id: string;
  name: string;
  prefix: string;
  team: string | null;
  is_admin: boolean;
  overrides: string[] | null;
  created_at: Date;
  revoked_at: Date | null;
}

function recordOf({ id, name, prefix, team, is_admin, overrides, created_at, revoked_at }: KeyRow): KeyRecord {
  return {
    ...{ id, name, prefix, team, isAdmin: is_admin, overrides: overrides ?? 'all' },
    createdEpochMs: created_at.getTime(),
    revokedEpochMs: revoked_at?.getTime() ?? null,
  };
}
