import type { AUDIT_OPERATIONS, AuditRecord } from '../../../shared/admin/audit.ts';
import type { StoredAudit } from '../audit.ts';
import { listAudit } from '../audit.ts';
import type { Handlers } from './handler.ts';
import { InvalidFields } from './invalid-fields.ts';
import { pageOf, readCursor } from './page.ts';

export const AUDIT_HANDLERS: Handlers<typeof AUDIT_OPERATIONS> = {
  listAuditRecords: async (
    db,
    { query: { limit, after, entity, entity_id: entityId, actor, action, since, until } },
  ) => {
    const filter = { entity, entityId, actor, action, since: dateOf(since), until: dateOf(until) };
    const rows = await listAudit(db, filter, { limit: limit + 1, before: sequenceOf(readCursor(after)) });
    return { body: pageOf(rows, limit, recordOf, ({ sequence }) => String(sequence)) };
  },
};

function dateOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}

function sequenceOf(key: string | undefined): bigint | undefined {
  if (key === undefined) return undefined;
  if (/^\d{1,18}$/.test(key)) return BigInt(key);
  throw new InvalidFields([{ param: 'after', message: 'It is not the `next_cursor` of this list.' }]);
}

function recordOf(record: StoredAudit): AuditRecord {
  return {
    object: 'audit_record',
    sequence: String(record.sequence),
    at: record.at.toISOString(),
    actor: record.actor,
    actor_role: record.actorRole,
    origin: record.origin,
    action: record.action,
    entity: record.entity,
    entity_id: record.entityId,
    before: record.before,
    after: record.after,
    request_id: record.requestId,
    previous_hash: record.previousHash,
    hash: record.hash,
  };
}
