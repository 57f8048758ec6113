import type { Transaction } from 'kysely';
import type { AdminActor } from '../../../shared/messages/admin.ts';
import { appendAudit } from '../audit.ts';
import { actorName } from '../core/reach.ts';
import { bumpRevision } from '../rules/revision.ts';
import type { Database, Tables } from '../database/schema.ts';

/** What was done to something: states are those of the API, without secrets. */
export interface Deed {
  /** An operation of the admin API, or what a command calls it. */
  readonly action: string;
  readonly entity: string;
  readonly entityId: string;
  readonly before: object | null;
  readonly after: object | null;
}

export interface Doer {
  readonly actor: AdminActor;
  readonly now: Date;
  readonly requestId?: string | undefined;
}

/**
 * Raises the revision and records a deed, at the end of the transaction that did it.
 * @returns the revision, to be announced once that is committed
 */
export async function concludeChange(
  transaction: Transaction<Tables>,
  { actor, now, requestId }: Doer,
  { action, entity, entityId, before, after }: Deed,
): Promise<bigint> {
  const revision = await bumpRevision(transaction);
  await appendAudit(transaction, {
    ...{ at: now, actor: actorName(actor), actorRole: actor.role ?? '', origin: actor.origin },
    ...{ action, entity, entityId },
    before: before && { ...before },
    after: after && { ...after },
    requestId: requestId ?? null,
  });
  return revision;
}

/** A change with its audit record and its revision in one transaction: for those who announce it then. */
export function inAuditedRevision<T>(
  db: Database,
  doer: Doer,
  change: (transaction: Database) => Promise<{ readonly value: T; readonly deed: Deed }>,
): Promise<{ readonly value: T; readonly revision: bigint }> {
  return db.transaction().execute(async (transaction) => {
    const { value, deed } = await change(transaction);
    return { value, revision: await concludeChange(transaction, doer, deed) };
  });
}
