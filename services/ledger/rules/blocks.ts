import { GatewayError } from '../../../shared/errors.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { parseScope } from '../../../shared/scope.ts';
import { bumpRevision, inTransaction } from './revision.ts';
import type { Database } from '../database/schema.ts';

const MAX_REASON_CHARS = 500;

/** The kill switch of one scope: its requests are refused with `scope_blocked` until it is taken back. */
export interface Block {
  readonly scope: ScopeName;
  /** Callers are told. */
  readonly reason: string;
  /** Who did it: a key's name, or where the command ran. */
  readonly by: string;
  readonly atEpochMs: number;
}

/**
 * Blocks a scope, or says anew why it is blocked. Raises the revision; tell the ingresses with `announceRules`.
 * @param scope of shared/scope.ts; a pattern blocks everybody of its kind
 * @throws GatewayError(`invalid_request`, param `scope` or `reason`)
 */
export async function blockScope(
  db: Database,
  { scope, reason, by }: Pick<Block, 'scope' | 'reason' | 'by'>,
): Promise<Block> {
  checkScope(scope);
  if (reason.trim() === '' || reason.length > MAX_REASON_CHARS)
    throw new GatewayError('invalid_request', `A block has a reason, of at most ${MAX_REASON_CHARS} characters.`, {
      param: 'reason',
    });
  return inTransaction(db, async (tx) => {
    const row = await tx
      .insertInto('blocks')
      .values({ scope, reason, blocked_by: by })
      .onConflict((conflict) => conflict.column('scope').doUpdateSet({ reason, blocked_by: by }))
      .returningAll()
      .executeTakeFirstOrThrow();
    await bumpRevision(tx);
    return blockOf(row);
  });
}

/** @throws GatewayError(`not_found`, param `scope`): it is not blocked */
export async function unblockScope(db: Database, scope: ScopeName): Promise<Block> {
  return inTransaction(db, async (tx) => {
    const row = await tx.deleteFrom('blocks').where('scope', '=', scope).returningAll().executeTakeFirst();
    if (row === undefined)
      throw new GatewayError('not_found', `${scope.slice(0, 200)} is not blocked.`, { param: 'scope' });
    await bumpRevision(tx);
    return blockOf(row);
  });
}

/** All blocks, by scope. */
export async function listBlocks(db: Database): Promise<Block[]> {
  const rows = await db.selectFrom('blocks').selectAll().orderBy('scope').execute();
  return rows.map(blockOf);
}

function checkScope(scope: ScopeName): void {
  if (parseScope(scope) !== undefined) return;
  const rule = 'total, or a kind and an id, such as team:search, user:ada, user:*, tag:env=test';
  throw new GatewayError('invalid_request', `"${scope.slice(0, 200)}" is no scope: ${rule}.`, { param: 'scope' });
}

function blockOf(row: { scope: string; reason: string; blocked_by: string; blocked_at: Date }): Block {
  return { scope: row.scope, reason: row.reason, by: row.blocked_by, atEpochMs: row.blocked_at.getTime() };
}
