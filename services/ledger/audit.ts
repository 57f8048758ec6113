import type { Selectable, Transaction } from 'kysely';
import { sql } from 'kysely';
import type { AuditEntry, ChainedEntry } from './core/audit-chain.ts';
import { faultOf, GENESIS_HASH, hashOfEntry } from './core/audit-chain.ts';
import type { AuditRecordsTable, Database, Tables } from './database/schema.ts';

const AUDIT_LOCK = 7_583_010;
const PAGE = 1_000;

export interface StoredAudit extends ChainedEntry {
  readonly hash: string;
}

/**
 * Adds a record to the chain, within the transaction of the change that it tells of: both are there, or neither. Holds
 * the chain's end until that transaction is over, so make it the last thing that the transaction does.
 */
export async function appendAudit(transaction: Transaction<Tables>, entry: AuditEntry): Promise<StoredAudit> {
  await sql`select pg_advisory_xact_lock(${AUDIT_LOCK})`.execute(transaction);
  const last = await transaction
    .selectFrom('audit_records')
    .select(['sequence', 'hash'])
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  const before = asStored(entry.before);
  const after = asStored(entry.after);
  const chained = {
    ...entry,
    before: before.value,
    after: after.value,
    sequence: (last?.sequence ?? 0n) + 1n,
    previousHash: last?.hash ?? GENESIS_HASH,
  };
  const hash = hashOfEntry(chained);
  await transaction
    .insertInto('audit_records')
    .values({
      sequence: chained.sequence,
      at: entry.at,
      actor: entry.actor,
      actor_role: entry.actorRole,
      origin: entry.origin,
      action: entry.action,
      entity: entry.entity,
      entity_id: entry.entityId,
      before: before.text,
      after: after.text,
      request_id: entry.requestId,
      previous_hash: chained.previousHash,
      hash,
    })
    .execute();
  return { ...chained, hash };
}

export interface AuditFilter {
  readonly entity?: string | undefined;
  readonly entityId?: string | undefined;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

/** The latest first, those before `before`. */
export async function listAudit(
  db: Database,
  { entity, entityId, actor, action, since, until }: AuditFilter,
  { limit, before }: { readonly limit: number; readonly before?: bigint | undefined },
): Promise<StoredAudit[]> {
  let query = db.selectFrom('audit_records').selectAll().orderBy('sequence', 'desc').limit(limit);
  if (entity !== undefined) query = query.where('entity', '=', entity);
  if (entityId !== undefined) query = query.where('entity_id', '=', entityId);
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (since !== undefined) query = query.where('at', '>=', since);
  if (until !== undefined) query = query.where('at', '<', until);
  if (before !== undefined) query = query.where('sequence', '<', before);
  return (await query.execute()).map(storedOf);
}

export interface AuditVerdict {
  /** Records that are as they were written, from the first on. */
  readonly count: number;
  /** Of the last of these. Kept elsewhere, it shows later that the chain's end was not cut off. */
  readonly head: string;
  /** What is wrong with the one after these; absent: nothing. */
  readonly fault?: string;
}

/**
 * Goes through the chain from its first record on, some at a time.
 * @param expected a head that was printed once: it must still be in the chain
 */
export async function verifyAudit(db: Database, expected?: string): Promise<AuditVerdict> {
  let previous: StoredAudit | undefined;
  let isExpectedSeen = expected === undefined || expected === GENESIS_HASH;
  const reached = (): { count: number; head: string } => ({
    count: Number(previous?.sequence ?? 0n),
    head: previous?.hash ?? GENESIS_HASH,
  });
  for (;;) {
    const rows = await db
      .selectFrom('audit_records')
      .selectAll()
      .where('sequence', '>', previous?.sequence ?? MIN_SEQUENCE)
      .orderBy('sequence')
      .limit(PAGE)
      .execute();
    for (const row of rows) {
      const record = storedOf(row);
      const fault = faultOf(record, previous);
      if (fault !== undefined) return { ...reached(), fault };
      previous = record;
      isExpectedSeen ||= record.hash === expected;
    }
    if (rows.length < PAGE) break;
  }
  return isExpectedSeen ? reached() : { ...reached(), fault: 'the expected hash is nowhere: the end was cut off' };
}

/** Below every sequence number, those too that somebody made up. */
const MIN_SEQUENCE = -(2n ** 63n);

/** As it will come out of the table: JSON has no bigint and no undefined. */
function asStored(state: AuditEntry['before']): { value: AuditEntry['before']; text: string | null } {
  if (state === null) return { value: null, text: null };
  const text = JSON.stringify(state, (_name, part: unknown) => (typeof part === 'bigint' ? String(part) : part));
  return { value: JSON.parse(text) as Record<string, unknown>, text };
}

function storedOf(row: Selectable<AuditRecordsTable>): StoredAudit {
  return {
    sequence: row.sequence,
    at: row.at,
    actor: row.actor,
    actorRole: row.actor_role,
    origin: row.origin,
    action: row.action,
    entity: row.entity,
    entityId: row.entity_id,
    before: row.before,
    after: row.after,
    requestId: row.request_id,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}
