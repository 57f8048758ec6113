import { sql } from 'kysely';
import type { Database } from './schema.ts';

/**
 * Raises the revision of keys and rules, once in a transaction however often it is called, and tells the new one. Every
 * change that an ingress must not overlook calls it in its own transaction: beats tell the revision, and an ingress that
 * is behind forgets what it knows. Holds the row's lock until the transaction ends; take it after the rows of the change.
 */
export async function bumpRevision(tx: Database): Promise<bigint> {
  const raised = await sql<{ revision: bigint }>`
    update revisions set revision = revision + 1 where xmin <> pg_current_xact_id()::xid returning revision`.execute(
    tx,
  );
  return raised.rows[0]?.revision ?? readRevision(tx);
}

async function readRevision(db: Database): Promise<bigint> {
  const { revision } = await db.selectFrom('revisions').select('revision').executeTakeFirstOrThrow();
  return revision;
}
