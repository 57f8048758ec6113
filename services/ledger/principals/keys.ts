import { createHash, randomBytes, randomUUIDv7 } from 'node:crypto';
import { sql } from 'kysely';
import type { Selectable, UpdateObject } from 'kysely';
import { DatabaseError } from 'pg';
import { GatewayError } from '../../../shared/errors.ts';
import { appendAudit } from '../audit.ts';
import type { KeySpec } from '../core/check-key.ts';
import { checkKey } from '../core/check-key.ts';
import type { KeySecret } from './key-secret.ts';
import { bumpRevision, inTransaction } from '../rules/revision.ts';
import type { ApiKeysTable, Database, Tables } from '../database/schema.ts';

const TOKEN_START = 'sk-sluice-';
/** 256 bits: not to be guessed, so that a fast hash keeps them; a slow one is for passwords. */
const TOKEN_BYTES = 32;
const SHOWN_CHARACTERS = 4;
const FIRST_KEY_LOCK = 7_583_002;
const UNIQUE_VIOLATION = '23505';
/** Who needs the old token for longer than a quarter of a year has two keys. */
const LONGEST_OVERLAP_MS = 92 * 24 * 60 * 60_000;

/** What is not said: nobody's, without a role, without an end, and free to use everything from everywhere. */
export type NewKey = Pick<KeySpec, 'name'> & Partial<KeySpec>;

/** As a list shows it: everything but its token, which nobody has. Changes carry its `version` as their ETag. */
export interface KeyRecord extends KeySpec {
  readonly id: string;
  /** `sk-sluice-ab12`: what a list shows, followed by an ellipsis. */
  readonly prefix: string;
  /** An owner or an admin. */
  readonly isAdmin: boolean;
  readonly createdEpochMs: number;
  readonly updatedEpochMs: number;
  readonly blockedEpochMs: number | null;
  readonly revokedEpochMs: number | null;
  /** Until when the token before the last rotation works; null: there was no rotation. */
  readonly oldTokenUntilEpochMs: number | null;
  readonly version: number;
}

export interface CreatedKey extends KeyRecord {
  /** Shown now or never: only its hash is kept. */
  readonly token: string;
}

export interface Rotation {
  readonly secret: KeySecret;
  /** How long the old token works on; 0: not at all. Up to 92 days. */
  readonly overlapMs: number;
}

/** SHA-256 of a token, lower-case hex: what ingress and ledger tell each other. */
export function hashOfToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * @throws GatewayError(`invalid_request`) whose `param` is the field at fault: something is malformed, or a live key has
 * that name
 */
export async function createKey(db: Database, spec: NewKey, secret: KeySecret): Promise<CreatedKey> {
  checkKey(spec);
  const { token, prefix, hash } = makeToken(secret);
  const id = `key_${randomUUIDv7().replaceAll('-', '')}`;
  const row = await inTransaction(db, async (tx) => {
    await makePrincipals(tx, spec);
    return tx
      .insertInto('api_keys')
      .values({
        ...{ id, prefix, hash, hash_kind: 'hmac', is_admin: false, team: null, overrides: null, revoked_at: null },
        ...columnsOf(spec),
        name: spec.name,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }).catch(explainTakenName(spec.name));
  return { ...recordOf(row), token };
}

/** All keys, the revoked ones too, oldest first. */
export async function listKeys(db: Database): Promise<KeyRecord[]> {
  const rows = await db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute();
  return rows.map(recordOf);
}

/**
 * The key with this id, also a revoked one.
 * @param isLocked in a transaction: nobody else changes it before this transaction ends
 * @throws GatewayError(`not_found`)
 */
export async function getKey(db: Database, id: string, { isLocked = false } = {}): Promise<KeyRecord> {
  const row = await db
    .selectFrom('api_keys')
    .selectAll()
    .where('id', '=', id)
    .$if(isLocked, (query) => query.forUpdate())
    .executeTakeFirst();
  if (row === undefined) throw new GatewayError('not_found', `There is no key ${id.slice(0, 64)}.`, { param: 'key' });
  return recordOf(row);
}

/**
 * The one key that a person means: by its id, name, prefix (with or without the ellipsis) or token; of those of a name only
 * the live one.
 * @throws GatewayError(`invalid_request`): no such key, revoked already, or several begin so
 */
export async function findKey(db: Database, which: string, secret: KeySecret): Promise<KeyRecord> {
  const sha256 = hashOfToken(which);
  const found = await db
    .selectFrom('api_keys')
    .selectAll()
    .where((column) =>
      column.or([
        column('id', '=', which),
        column('name', '=', which),
        column('prefix', '=', which.replace(/(…|\.\.\.)$/, '')),
        column('hash', 'in', [sha256, secret.hash(sha256)]),
        column('old_hash', '=', secret.hash(sha256)),
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
  return recordOf(key);
}

/**
 * Says parts of a key anew; what is not named stays. This and the changes below raise the revision; announce them with
 * `announceRules`, `keys` being their ids, or ingresses see them by the beats.
 * @throws GatewayError(`invalid_request`, `not_found`)
 */
export async function updateKey(db: Database, id: string, change: Partial<KeySpec>): Promise<KeyRecord> {
  checkKey(change);
  return inTransaction(db, async (tx) => {
    await makePrincipals(tx, change);
    return changeKey(tx, id, columnsOf(change));
  }).catch(explainTakenName(change.name ?? ''));
}

/** A new token, shown once; the old one works for `overlapMs` more, one that was old before that no more at all. */
export async function rotateKey(db: Database, id: string, { secret, overlapMs }: Rotation): Promise<CreatedKey> {
  if (!(overlapMs >= 0 && overlapMs <= LONGEST_OVERLAP_MS))
    throw new GatewayError('invalid_request', 'The old token may work for 92 days more at most.', { param: 'overlap' });
  const { token, prefix, hash } = makeToken(secret);
  const key = await inTransaction(db, async (tx) => {
    const old = await tx
      .selectFrom('api_keys')
      .select(['hash', 'hash_kind'])
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    return changeKey(tx, id, {
      ...{ hash, prefix, hash_kind: 'hmac' },
      ...(old !== undefined && { old_hash: old.hash_kind === 'hmac' ? old.hash : secret.hash(old.hash) }),
      old_hash_until: sql<Date>`now() + ${overlapMs} * interval '1 millisecond'`,
    });
  });
  return { ...key, token };
}

/** Switches a key off until it is unblocked. A key that is blocked keeps the time at which it was. */
export function blockKey(db: Database, id: string): Promise<KeyRecord> {
  return changeKey(db, id, { blocked_at: sql<Date>`coalesce(blocked_at, now())` });
}

export function unblockKey(db: Database, id: string): Promise<KeyRecord> {
  return changeKey(db, id, { blocked_at: null });
}

/** Ends a key for ever. */
export function revokeKey(db: Database, id: string): Promise<KeyRecord> {
  return changeKey(db, id, { revoked_at: sql<Date>`now()` });
}

/**
 * The key `admin`, its owner's, made once in the life of a database: null when there is any key, also a revoked one. Ledgers
 * that start at once make one between them.
 */
export async function ensureFirstKey(db: Database, secret: KeySecret): Promise<CreatedKey | null> {
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${FIRST_KEY_LOCK})`.execute(transaction);
    const any = await transaction.selectFrom('api_keys').select('id').limit(1).executeTakeFirst();
    if (any !== undefined) return null;
    const key = await createKey(transaction, { name: 'admin', role: 'owner' }, secret);
    const { id, name, prefix, role } = key;
    await appendAudit(transaction, {
      ...{ at: new Date(), actor: 'gateway', actorRole: 'owner', origin: 'start', requestId: null },
      ...{ action: 'createKey', entity: 'key', entityId: id, before: null, after: { id, name, prefix, role } },
    });
    return key;
  });
}

async function changeKey(db: Database, id: string, columns: UpdateObject<Tables, 'api_keys'>): Promise<KeyRecord> {
  return inTransaction(db, async (tx) => {
    const changed = await tx
      .updateTable('api_keys')
      .set({ ...columns, version: sql`version + 1`, updated_at: sql`now()` })
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .returningAll()
      .executeTakeFirst();
    if (changed === undefined) {
      const { name } = await getKey(tx, id);
      throw new GatewayError('invalid_request', `The key "${name}" is revoked already.`, { param: 'key' });
    }
    await bumpRevision(tx);
    return recordOf(changed);
  });
}

/** What is named for the first time gets a row of its own, so that it can be listed, and given limits and budgets. */
async function makePrincipals(tx: Database, { organisation, team, user }: Partial<KeySpec>): Promise<void> {
  if (organisation != null)
    await tx
      .insertInto('organisations')
      .values({ id: organisation, name: organisation })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  if (team != null)
    await tx
      .insertInto('teams')
      .values({ id: team, name: team, organisation: organisation ?? null })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  if (user != null)
    await tx
      .insertInto('users')
      .values({ id: user, name: user, team: team ?? null, email: null, subject: null })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
}

function makeToken(secret: KeySecret): { readonly token: string; readonly prefix: string; readonly hash: string } {
  const random = randomBytes(TOKEN_BYTES).toString('base64url');
  const token = TOKEN_START + random;
  return {
    token,
    prefix: TOKEN_START + random.slice(0, SHOWN_CHARACTERS),
    hash: secret.hash(hashOfToken(token)),
  };
}

function explainTakenName(name: string) {
  return (cause: unknown): never => {
    const isTaken =
      cause instanceof DatabaseError && cause.code === UNIQUE_VIOLATION && cause.constraint === 'api_keys_live_name';
    if (!isTaken) throw cause;
    throw new GatewayError('invalid_request', `A key named "${name}" exists already.`, { param: 'name', cause });
  };
}

/** A whole token must not end up in a terminal's history or a log once more. */
function shown(which: string): string {
  return which.startsWith(TOKEN_START) ? `${which.slice(0, TOKEN_START.length + SHOWN_CHARACTERS)}…` : which;
}

/** The columns of what is said; undefined is not said. */
function columnsOf(spec: Partial<KeySpec>) {
  const listOf = <Item>(list: readonly Item[] | null): Item[] | null => (list === null ? null : [...new Set(list)]);
  const { name, team, user, organisation, role, overrides, expiresEpochMs: expires } = spec;
  const { routes, models, regions, networks, mayName, tags, logPayloads } = spec;
  return {
    ...(name !== undefined && { name }),
    ...(team !== undefined && { team }),
    ...(user !== undefined && { user_id: user }),
    ...(organisation !== undefined && { organisation }),
    // An older release reads this one.
    ...(role !== undefined && { role, is_admin: isAdminRole(role) }),
    ...(overrides !== undefined && { overrides: overrides === 'all' ? null : listOf(overrides) }),
    ...(expires !== undefined && { expires_at: expires === null ? null : new Date(expires) }),
    ...(routes !== undefined && { routes: listOf(routes) }),
    ...(models !== undefined && { models: listOf(models) }),
    ...(regions !== undefined && { regions: listOf(regions) }),
    ...(networks !== undefined && { networks: listOf(networks) }),
    ...(mayName !== undefined && { may_name: listOf(mayName) }),
    ...(tags !== undefined && { tags: JSON.stringify(tags) }),
    ...(logPayloads !== undefined && { log_payloads: logPayloads }),
  };
}

export function isAdminRole(role: string | null): boolean {
  return role === 'owner' || role === 'admin';
}

export function recordOf(row: Selectable<ApiKeysTable>): KeyRecord {
  const epochMs = (at: Date | null): number | null => at?.getTime() ?? null;
  return {
    ...{ id: row.id, name: row.name, prefix: row.prefix, team: row.team, user: row.user_id },
    ...{ organisation: row.organisation, role: row.role, isAdmin: isAdminRole(row.role) },
    // Names that a newer release wrote are kept, and mean nothing to this one.
    overrides: (row.overrides as KeySpec['overrides'] | null) ?? 'all',
    ...{ routes: row.routes, models: row.models, regions: row.regions, networks: row.networks },
    mayName: row.may_name as KeySpec['mayName'],
    ...{ tags: row.tags, logPayloads: row.log_payloads },
    expiresEpochMs: epochMs(row.expires_at),
    createdEpochMs: row.created_at.getTime(),
    updatedEpochMs: row.updated_at.getTime(),
    blockedEpochMs: epochMs(row.blocked_at),
    revokedEpochMs: epochMs(row.revoked_at),
    oldTokenUntilEpochMs: epochMs(row.old_hash_until),
    version: Number(row.version),
  };
}
