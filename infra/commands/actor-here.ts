import { userInfo } from 'node:os';
import type { AdminActor } from '../../shared/messages/admin.ts';

/** Who runs this command, as the audit trail knows them. Whoever may work on the database may do anything. */
export function actorHere(): AdminActor {
  return { keyId: `cli:${userInfo().username}`, user: null, role: 'owner', team: null, origin: 'cli' };
}
