import { z } from 'zod';
import { Deleted, ScopeField, Timestamp } from './fields.ts';
import { changing, listing } from './operation.ts';
import { READERS, TEAM_MANAGERS } from './roles.ts';

export const Block = z
  .object({
    object: z.literal('block'),
    scope: z.string(),
    reason: z.string(),
    blocked_by: z.string(),
    blocked_at: Timestamp,
  })
  .meta({ id: 'Block' });
export type Block = z.infer<typeof Block>;

export const BlockReason = z
  .strictObject({ reason: z.string().trim().min(1).max(500).describe('Callers are told.') })
  .meta({ id: 'BlockReason', examples: [{ reason: 'A runaway job; ask in #platform.' }] });

const tag = 'Blocks';
const params = { scope: ScopeField };

export const BLOCK_OPERATIONS = {
  listBlocks: listing('/blocks', {
    tag,
    summary: 'List the scopes that are switched off',
    roles: READERS,
    response: Block,
  }),
  block: changing('PUT', '/blocks/{scope}', {
    tag,
    summary: 'Switch a scope off: within a second nobody of it is served',
    roles: TEAM_MANAGERS,
    params,
    body: BlockReason,
    response: Block,
  }),
  unblock: changing('DELETE', '/blocks/{scope}', {
    tag,
    summary: 'Switch a scope on again',
    roles: TEAM_MANAGERS,
    params,
    response: Deleted,
  }),
};
