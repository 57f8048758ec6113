import { z } from 'zod';
import { Deleted, Duration, Money, ScopeField, VERSIONED } from './fields.ts';
import { changing, listing, reading } from './operation.ts';
import { READERS, TEAM_MANAGERS } from './roles.ts';

/** More than any gateway serves; below it, no arithmetic loses a digit. */
const MAX_COUNT = 1_000_000_000_000;
const count = z.int().min(1).max(MAX_COUNT).nullish();

/** As `limits` of the configuration has them; null or absent: none of that sort. */
const TERMS = {
  requests_per_minute: count,
  tokens_per_minute: count,
  cost: z.strictObject({ amount: Money, per: Duration }).nullish(),
  concurrent: count.describe('Requests under way at once.'),
  burst: count.describe('Requests at once after a time of silence; absent: as many as come in a minute.'),
};

export const Limit = z
  .object({
    object: z.literal('limit'),
    id: z.string(),
    scope: z.string(),
    requests_per_minute: z.int().nullable(),
    tokens_per_minute: z.int().nullable(),
    cost: z.object({ amount: z.string(), per: z.string() }).nullable(),
    concurrent: z.int().nullable(),
    burst: z.int().nullable(),
    ...VERSIONED,
  })
  .meta({ id: 'Limit' });
export type Limit = z.infer<typeof Limit>;

export const LimitChange = z.strictObject(TERMS).meta({ id: 'LimitChange', examples: [{ concurrent: null }] });
export type LimitChange = z.infer<typeof LimitChange>;

export const NewLimit = z.strictObject({ scope: ScopeField, ...TERMS }).meta({
  id: 'NewLimit',
  examples: [
    { scope: 'user:*', tokens_per_minute: 100_000, concurrent: 8 },
    { scope: 'team:search', cost: { amount: '5 USD', per: '1h' } },
  ],
});

const tag = 'Limits';
const params = { limit: z.string().max(128).describe('Its id.') };

export const LIMIT_OPERATIONS = {
  listLimits: listing('/limits', {
    tag,
    summary: 'List the limits that were made here; those of the configuration stand there alone',
    roles: READERS,
    query: { scope: ScopeField.optional() },
    response: Limit,
  }),
  createLimit: changing('POST', '/limits', {
    tag,
    summary: 'Create a limit',
    roles: TEAM_MANAGERS,
    body: NewLimit,
    response: Limit,
    status: 201,
  }),
  getLimit: reading('/limits/{limit}', { tag, summary: 'Read a limit', roles: READERS, params, response: Limit }),
  updateLimit: changing('PATCH', '/limits/{limit}', {
    tag,
    summary: 'Change a limit',
    roles: TEAM_MANAGERS,
    params,
    body: LimitChange,
    response: Limit,
  }),
  deleteLimit: changing('DELETE', '/limits/{limit}', {
    tag,
    summary: 'Delete a limit',
    roles: TEAM_MANAGERS,
    params,
    response: Deleted,
  }),
};
