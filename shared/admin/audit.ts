import { z } from 'zod';
import { Timestamp } from './fields.ts';
import { listing } from './operation.ts';
import { WIDE_READERS } from './roles.ts';

const State = z.record(z.string(), z.unknown()).nullable();

export const AuditRecord = z
  .object({
    object: z.literal('audit_record'),
    sequence: z.string().describe('From 1, without gaps; a text, because it may outgrow a JSON number.'),
    at: Timestamp,
    actor: z.string().describe('The key that did it, and after a slash its user; `cli:` and the name of the account.'),
    actor_role: z.string(),
    origin: z.string().describe('The address that the request came from.'),
    action: z.string().describe('The operation’s id: `createTeam`.'),
    entity: z.string(),
    entity_id: z.string(),
    before: State.describe('As the API told it; null: it was not there.'),
    after: State.describe('null: it is there no more.'),
    request_id: z.string().nullable(),
    previous_hash: z.string(),
    hash: z.string().describe('SHA-256 of the canonical JSON of all the other fields, but `object`.'),
  })
  .meta({ id: 'AuditRecord' });
export type AuditRecord = z.infer<typeof AuditRecord>;

const filter = z.string().max(256).optional();

export const AUDIT_OPERATIONS = {
  listAuditRecords: listing('/audit', {
    tag: 'Audit',
    summary: 'List what was changed, the latest first',
    roles: WIDE_READERS,
    query: {
      entity: filter.describe('`team`, `key`, `budget`, …'),
      entity_id: filter,
      actor: filter,
      action: filter,
      since: Timestamp.optional(),
      until: Timestamp.optional(),
    },
    response: AuditRecord,
  }),
};
