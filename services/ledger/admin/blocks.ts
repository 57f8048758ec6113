import type { Block as BlockShown, BLOCK_OPERATIONS } from '../../../shared/admin/blocks.ts';
import type { Block } from '../rules/blocks.ts';
import { blockScope, listBlocks, unblockScope } from '../rules/blocks.ts';
import { actorName } from '../core/reach.ts';
import type { Handlers } from './handler.ts';
import { readCursor } from './page.ts';
import { pageWithin, refuseForeignScope } from './scope-reach.ts';

export const BLOCK_HANDLERS: Handlers<typeof BLOCK_OPERATIONS> = {
  listBlocks: async (db, { query: { limit, after }, reach }) => {
    // Made by hand, in an emergency: there are few.
    const blocks = await listBlocks(db);
    const page = { limit, after: readCursor(after) };
    const body = await pageWithin(db, reach, page, {
      fetch: ({ after: behind = '', limit: most }) =>
        Promise.resolve(blocks.filter(({ scope }) => scope > behind).slice(0, most)),
      scopeOf: ({ scope }) => scope,
      keyOf: ({ scope }) => scope,
      show: blockOf,
    });
    return { body };
  },
  block: async (transaction, { params: { scope }, body: { reason }, reach, actor }) => {
    await refuseForeignScope(transaction, reach, scope);
    const before = (await listBlocks(transaction)).find((block) => block.scope === scope);
    const after = blockOf(await blockScope(transaction, { scope, reason, by: actorName(actor) }));
    return { ...about(scope), body: after, before: before === undefined ? null : blockOf(before), after };
  },
  unblock: async (transaction, { params: { scope }, reach }) => {
    await refuseForeignScope(transaction, reach, scope);
    const before = await unblockScope(transaction, scope);
    const body = { object: 'block', id: scope, deleted: true as const };
    return { ...about(scope), body, before: blockOf(before), after: null };
  },
};

function about(scope: string): { entity: string; entityId: string; about: { scopes: string[] } } {
  return { entity: 'block', entityId: scope, about: { scopes: [scope] } };
}

/** As the API shows it. */
export function blockOf({ scope, reason, by, atEpochMs }: Block): BlockShown {
  return { object: 'block', scope, reason, blocked_by: by, blocked_at: new Date(atEpochMs).toISOString() };
}
