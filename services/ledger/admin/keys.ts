import type { Key, KEY_OPERATIONS, KeyChange } from '../../../shared/admin/keys.ts';
import { parseDuration } from '../../../shared/config/duration.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { mayHandle, reaches } from '../core/reach.ts';
import type { KeySpec } from '../core/check-key.ts';
import type { KeyRecord } from '../principals/keys.ts';
import { blockKey, createKey, getKey, revokeKey, rotateKey, unblockKey, updateKey } from '../principals/keys.ts';
import { pageOfKeys } from '../principals/list-keys.ts';
import { getTeam, getUser } from '../principals/principals.ts';
import type { Database } from '../database/schema.ts';
import { found } from './found.ts';
import type { Call, Handlers } from './handler.ts';
import { pageOf, readCursor } from './page.ts';
import { refuseForeignTeam } from './principals.ts';

export const KEY_HANDLERS: Handlers<typeof KEY_OPERATIONS> = {
  listKeys: async (db, { query: { limit, after, ...filter }, reach, now }) => {
    if (filter.team !== undefined) refuseForeignTeam(reach, filter.team);
    const only = { ...filter, ...(reach.kind === 'team' && { team: reach.team }) };
    const rows = await pageOfKeys(db, only, { limit: limit + 1, after: readCursor(after) });
    return {
      body: pageOf(
        rows,
        limit,
        (key) => keyOf(key, now),
        ({ id }) => id,
      ),
    };
  },
  createKey: async (transaction, { body, ...call }) => {
    const { name, ...fields } = body;
    const team = fields.team ?? (call.reach.kind === 'team' ? call.reach.team : undefined);
    const spec = { ...specOf({ ...fields, team }), name };
    await refuseBeyond(transaction, call, spec);
    const { token, ...key } = await createKey(transaction, spec, await call.openSecret());
    const after = keyOf(key, call.now);
    return { ...changed(null, after, key), body: { ...after, token } };
  },
  getKey: async (db, call) => {
    const key = await reachedKey(db, call);
    return { body: keyOf(key, call.now), version: BigInt(key.version) };
  },
  updateKey: async (transaction, call) => {
    const before = await changeable(transaction, call);
    const spec = specOf(call.body);
    await refuseBeyond(transaction, call, spec);
    const after = await updateKey(transaction, before.id, spec);
    return changed(keyOf(before, call.now), keyOf(after, call.now), after);
  },
  rotateKey: async (transaction, call) => {
    const before = await changeable(transaction, call);
    const overlapMs = call.body.overlap === undefined ? 0 : parseDuration(call.body.overlap);
    const secret = await call.openSecret();
    const { token, ...key } = await rotateKey(transaction, before.id, { secret, overlapMs });
    const after = keyOf(key, call.now);
    return { ...changed(keyOf(before, call.now), after, key), body: { ...after, token } };
  },
  blockKey: (transaction, call) => changeBy(transaction, call, blockKey),
  unblockKey: (transaction, call) => changeBy(transaction, call, unblockKey),
  revokeKey: (transaction, call) => changeBy(transaction, call, revokeKey),
};

type KeyCall = Pick<Call, 'role' | 'reach' | 'now' | 'expects'> & { readonly params: { readonly key: string } };

/** One of another team is not told from one that there is not. @throws GatewayError(`not_found`) */
async function reachedKey(db: Database, { params, reach }: KeyCall): Promise<KeyRecord> {
  const key = await getKey(db, params.key);
  return found('key', params.key, reaches(reach, key.team) ? key : undefined);
}

/** @throws GatewayError `not_found`, `forbidden` or `precondition_failed` */
async function changeable(db: Database, call: KeyCall): Promise<KeyRecord> {
  const key = await reachedKey(db, call);
  refuseRole(call, key.role);
  call.expects(BigInt(key.version));
  return key;
}

async function changeBy(
  db: Database,
  call: KeyCall,
  change: (db: Database, id: string) => Promise<KeyRecord>,
): Promise<ReturnType<typeof changed>> {
  const before = await changeable(db, call);
  const after = await change(db, before.id);
  return changed(keyOf(before, call.now), keyOf(after, call.now), after);
}

/** What a key may become is what its maker reaches. @throws GatewayError(`forbidden`, param: the field at fault) */
async function refuseBeyond(db: Database, call: Pick<Call, 'role' | 'reach'>, spec: Partial<KeySpec>): Promise<void> {
  if (spec.role !== undefined) refuseRole(call, spec.role);
  const { reach } = call;
  if (reach.kind === 'all') return;
  if (spec.team !== undefined) refuseForeignTeam(reach, spec.team);
  if (spec.user != null) {
    const user = await getUser(db, spec.user);
    // One that nobody has heard of becomes one of the team.
    if (user !== undefined && user.team !== reach.team)
      throw new GatewayError('forbidden', 'This user is not of your team.', { param: 'user' });
  }
  if (spec.organisation != null && spec.organisation !== (await getTeam(db, reach.team))?.organisation)
    throw new GatewayError('forbidden', 'Your team is not of this organisation.', { param: 'organisation' });
}

function refuseRole({ role: actor }: Pick<Call, 'role'>, role: KeySpec['role']): void {
  if (mayHandle(actor, role)) return;
  const said = role === null ? 'a caller' : `the role ${role}`;
  throw new GatewayError('forbidden', `A key of ${said} is not for the role ${actor} to make or to change.`, {
    param: 'role',
  });
}

/** What is named; the rest stays, or has its default. */
function specOf(fields: Omit<KeyChange, 'name'> & Pick<KeyChange, 'name'>): Partial<KeySpec> {
  const { expires_at: expires, may_name: mayName, log_payloads: logPayloads, ...same } = fields;
  const given = {
    ...same,
    mayName,
    logPayloads,
    expiresEpochMs: expires == null ? expires : Date.parse(expires),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function changed(before: Key | null, after: Key, { id, version }: KeyRecord) {
  return {
    body: after,
    version: BigInt(version),
    entity: 'key',
    entityId: id,
    before,
    after,
    about: { keys: [id] },
  };
}

/** As the API shows it. */
export function keyOf(key: KeyRecord, now: Date): Key {
  return {
    object: 'key',
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    status: statusOf(key, now),
    team: key.team,
    user: key.user,
    organisation: key.organisation,
    role: key.role,
    overrides: key.overrides === 'all' ? 'all' : [...key.overrides],
    routes: listOf(key.routes),
    models: listOf(key.models),
    regions: listOf(key.regions),
    networks: listOf(key.networks),
    may_name: listOf(key.mayName),
    tags: { ...key.tags },
    log_payloads: key.logPayloads,
    expires_at: timeOf(key.expiresEpochMs),
    blocked_at: timeOf(key.blockedEpochMs),
    revoked_at: timeOf(key.revokedEpochMs),
    old_token_until: timeOf(key.oldTokenUntilEpochMs),
    version: key.version,
    created_at: new Date(key.createdEpochMs).toISOString(),
    updated_at: new Date(key.updatedEpochMs).toISOString(),
  };
}

function statusOf({ revokedEpochMs, blockedEpochMs, expiresEpochMs }: KeyRecord, now: Date): Key['status'] {
  if (revokedEpochMs !== null) return 'revoked';
  if (blockedEpochMs !== null) return 'blocked';
  return expiresEpochMs !== null && expiresEpochMs <= now.getTime() ? 'expired' : 'live';
}

function listOf(list: readonly string[] | null): string[] | null {
  return list === null ? null : [...list];
}

function timeOf(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}
