import { timingSafeEqual } from 'node:crypto';
import { sql } from 'kysely';
import type { KeyAnswer, KeyPolicy, Role } from '../../../shared/messages/key.ts';
import { MAX_TAGS } from '../../../shared/scope.ts';
import type { KeySecret } from './key-secret.ts';
import { isAdminRole } from './keys.ts';
import type { Database } from '../database/schema.ts';

type Tags = Readonly<Record<string, string>>;

interface Found {
  readonly id: string;
  readonly name: string;
  readonly hash: string;
  readonly hash_kind: 'sha256' | 'hmac';
  readonly old_hash: string | null;
  readonly old_hash_until: Date | null;
  readonly user_id: string | null;
  readonly team: string | null;
  readonly organisation: string | null;
  readonly role: Role | null;
  readonly overrides: string[] | null;
  readonly expires_at: Date | null;
  readonly blocked_at: Date | null;
  readonly routes: string[] | null;
  readonly models: string[] | null;
  readonly regions: string[] | null;
  readonly networks: string[] | null;
  readonly may_name: KeyPolicy['mayName'] | null;
  readonly log_payloads: NonNullable<KeyPolicy['logPayloads']>;
  readonly tags: Tags;
  readonly user_tags: Tags | null;
  readonly team_tags: Tags | null;
  readonly organisation_tags: Tags | null;
}

/**
 * Whose key has this SHA-256 (hex), and what it may do; a principal of null: there is none, or it was revoked. What is the
 * default is not in it. A key of an older release, kept as the plain SHA-256, is from now on kept as the others are.
 */
export async function lookUpKey(db: Database, secret: KeySecret, sha256: string): Promise<KeyAnswer> {
  const hmac = secret.hash(sha256);
  const { rows } = await sql<Found>`
    select k.id, k.name, k.hash, k.hash_kind, k.old_hash, k.old_hash_until, k.user_id, k.role, k.overrides, k.expires_at,
      k.blocked_at, k.routes, k.models, k.regions, k.networks, k.may_name, k.log_payloads, k.tags,
      coalesce(k.team, u.team) as team, coalesce(k.organisation, t.organisation) as organisation,
      u.tags as user_tags, t.tags as team_tags, o.tags as organisation_tags
    from api_keys k
    left join users u on u.id = k.user_id
    left join teams t on t.id = coalesce(k.team, u.team)
    left join organisations o on o.id = coalesce(k.organisation, t.organisation)
    where (k.hash = ${hmac} or k.old_hash = ${hmac} or k.hash = ${sha256}) and k.revoked_at is null`.execute(db);
  const key = rows.find(
    ({ hash, hash_kind, old_hash }) =>
      isSame(hash, hash_kind === 'hmac' ? hmac : sha256) || (old_hash !== null && isSame(old_hash, hmac)),
  );
  if (key === undefined) return { v: 1, principal: null };
  if (key.hash_kind === 'sha256') await upgrade(db, key.id, sha256, hmac);
  const isOldToken = key.old_hash !== null && isSame(key.old_hash, hmac);
  return { v: 1, principal: principalOf(key), policy: policyOf(key, isOldToken) };
}

async function upgrade(db: Database, id: string, sha256: string, hmac: string): Promise<void> {
  await db
    .updateTable('api_keys')
    .set({ hash: hmac, hash_kind: 'hmac' })
    .where('id', '=', id)
    .where('hash', '=', sha256)
    .execute();
}

function principalOf({ id, name, team, organisation, user_id: user, role, overrides }: Found): KeyAnswer['principal'] {
  return {
    ...{ keyId: id, keyName: name, team },
    ...(organisation !== null && { organisation }),
    ...(user !== null && { user }),
    ...(isAdminRole(role) && { isAdmin: true }),
    ...(overrides !== null && { overrides }),
  };
}

function policyOf(key: Found, isOldToken: boolean): KeyPolicy {
  const ends = [key.expires_at, isOldToken ? key.old_hash_until : null].flatMap((at) => at?.getTime() ?? []);
  const tags = tagsOf(key);
  return {
    ...(key.role !== null && { role: key.role }),
    ...(ends.length > 0 && { expiresEpochMs: Math.min(...ends) }),
    ...(key.blocked_at !== null && { isBlocked: true }),
    ...(key.routes !== null && { routes: key.routes }),
    ...(key.models !== null && { models: key.models }),
    ...(key.regions !== null && { regions: key.regions }),
    ...(key.networks !== null && { networks: key.networks }),
    ...(key.may_name != null && { mayName: key.may_name }),
    ...(Object.keys(tags).length > 0 && { tags }),
    ...(key.log_payloads !== 'none' && { logPayloads: key.log_payloads }),
  };
}

/** The key's own go before its user's, its team's and its organisation's; those beyond `MAX_TAGS` are left out. */
function tagsOf({ tags, user_tags, team_tags, organisation_tags }: Found): Tags {
  const merged = new Map<string, string>();
  for (const some of [tags, user_tags, team_tags, organisation_tags])
    for (const [name, value] of Object.entries(some ?? {}))
      if (!merged.has(name) && merged.size < MAX_TAGS) merged.set(name, value);
  return Object.fromEntries(merged);
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
