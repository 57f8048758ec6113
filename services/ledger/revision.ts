import { sql } from 'kysely';
import type { Database } from './schema.ts';

/**
 * Raises the revision of keys and rules and tells the new one. Every change that an ingress must not overlook calls it in
 * its own transaction: beats tell the revision, and an ingress that is behind forgets what it knows.
 */
export async function bumpRevision(tx: Database): Promise<bigint> {
  const raised = await sql<{ revision: bigint }>`
    update revisions set revision = revision + 1 returning revision`.execute(tx);
  const [row] = raised.rows;
  if (row === undefined) throw new Error('the ledger has no revision');
  return row.revision;
}
