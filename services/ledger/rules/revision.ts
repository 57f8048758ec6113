import { sql } from 'kysely';
import type { Bus } from '../../../shared/bus.ts';
import type { RulesChanged } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { RULES_CHANGED } from '../../../shared/subjects.ts';
import type { Database } from '../database/schema.ts';

/** Names that one message may hold; whoever changes more lets every ingress forget everything. */
const MAX_NAMED = 1_000;

/** What was changed: the scopes of rules, the ids of keys; absent all: anything may have. */
export interface Change {
  readonly scopes?: readonly ScopeName[];
  readonly keys?: readonly string[];
  /** Scopes for which a soft budget has come to its end, or has room again. */
  readonly standings?: readonly ScopeName[];
}

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

export async function readRevision(db: Database): Promise<bigint> {
  const { revision } = await db.selectFrom('revisions').select('revision').executeTakeFirstOrThrow();
  return revision;
}

/** Tells every ingress what to forget; after the commit. Call `bus.flush()` before the process ends. */
export function announceRules(bus: Bus, change: Change & { readonly revision: bigint }): void {
  const { revision, scopes = [], keys = [], standings = [] } = change;
  const named = scopes.length + keys.length + standings.length;
  const isEverything = named > MAX_NAMED || !(change.scopes ?? change.keys ?? change.standings);
  const message: RulesChanged = {
    ...{ v: 1, revision: Number(revision) },
    ...(!isEverything && { scopes: [...scopes], keys: [...keys] }),
    ...(!isEverything && standings.length > 0 && { standings: [...standings] }),
  };
  bus.publish(RULES_CHANGED, message);
}

/** Runs `change` in a transaction, the one that `db` is in if it is, so that all of it is done or nothing. */
export function inTransaction<T>(db: Database, change: (tx: Database) => Promise<T>): Promise<T> {
  return db.isTransaction ? change(db) : db.transaction().execute(change);
}

/** Runs `change` and raises the revision in one transaction: for those who announce it then. */
export function inOneRevision<T>(
  db: Database,
  change: (tx: Database) => Promise<T>,
): Promise<{ readonly value: T; readonly revision: bigint }> {
  return inTransaction(db, async (tx) => {
    const value = await change(tx);
    return { value, revision: await bumpRevision(tx) };
  });
}
