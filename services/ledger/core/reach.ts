import type { AdminActor } from '../../../shared/messages/admin.ts';
import type { Role } from '../../../shared/messages/key.ts';
import { ROLES } from '../../../shared/messages/key.ts';

/** How far a role goes: everything, or what is of one team. */
export type Reach = { readonly kind: 'all' } | { readonly kind: 'team'; readonly team: string };

/** null: a caller, or a role that this version does not know, which may do nothing. */
export function roleOf({ role }: Pick<AdminActor, 'role'>): Role | null {
  return ROLES.find((known) => known === role) ?? null;
}

/** undefined: no part of the gateway is this actor's to look at. */
export function reachOf(actor: Pick<AdminActor, 'role' | 'team'>): Reach | undefined {
  const role = roleOf(actor);
  if (role === null) return undefined;
  if (role !== 'team_admin') return { kind: 'all' };
  return actor.team === null ? undefined : { kind: 'team', team: actor.team };
}

/** Whether something of this team is within reach. */
export function reaches(reach: Reach, team: string | null): boolean {
  return reach.kind === 'all' || reach.team === team;
}

/**
 * Whether an actor may give this role to a key, take it away, or change a key that has it (null: a caller's key). Nobody
 * makes anybody mightier than itself.
 */
export function mayHandle(actor: Role, role: Role | null): boolean {
  if (actor === 'owner') return true;
  if (actor === 'admin') return role !== 'owner';
  return actor === 'team_admin' && (role === null || role === 'team_admin');
}

/** As the audit trail and `Idempotency-Key`s know an actor: the key's id, and behind a slash for whom it stands. */
export function actorName({ keyId, user }: Pick<AdminActor, 'keyId' | 'user'>): string {
  return user === null ? keyId : `${keyId}/${user}`;
}
