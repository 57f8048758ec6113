import { z } from 'zod';
import { parseUsd } from '../money.ts';
import { MAX_RATE } from '../pricing.ts';
import { USAGE_DIMENSIONS } from '../usage-dimensions.ts';
import { Name, Timestamp } from './fields.ts';
import { changing, reading } from './operation.ts';
import { MANAGERS, READERS } from './roles.ts';

const MAX_DIMENSIONS = 4;
const TAG_DIMENSION = /^tag:[^,=]{1,64}$/;

function isDimension(word: string): boolean {
  return USAGE_DIMENSIONS.some((known) => known === word) || TAG_DIMENSION.test(word);
}

const By = z
  .string()
  .max(512)
  .refine((text) => text.split(',').every(isDimension) && text.split(',').length <= MAX_DIMENSIONS, {
    message: `It must be up to ${MAX_DIMENSIONS} of ${USAGE_DIMENSIONS.join(', ')} and tag:<name>, with commas between.`,
  });

const value = z.string().min(1).max(256).optional();

/** Only what has this value: `team=search`. */
const FILTER = {
  since: Timestamp.optional(),
  until: Timestamp.optional(),
  organisation: value,
  team: value,
  user: value,
  key: value.describe('Its id or name.'),
  feature: value,
  model: value,
  route: value,
  deployment: value,
  provider: value,
  endpoint: value,
  lane: value,
  variant: value,
  reason: value,
  error: value,
  tag: z
    .string()
    .max(256)
    .regex(/^[^=]+=./, 'It must be a name and a value, as env=prod.')
    .optional(),
};

const Spread = z.object({
  avg: z.number().nullable(),
  p50: z.number().nullable(),
  p95: z.number().nullable(),
});

export const UsageRow = z
  .object({
    group: z
      .record(z.string(), z.string().nullable())
      .describe('A value for each dimension; null where attempts have none.'),
    attempts: z.int(),
    succeeded: z.int(),
    errors: z.int(),
    cancelled: z.int(),
    cache_hits: z.int(),
    estimated: z.int().describe('Whose tokens are our own count.'),
    unknown_price: z.int(),
    input_tokens: z.int(),
    cached_input_tokens: z.int(),
    output_tokens: z.int(),
    reasoning_tokens: z.int(),
    cost_usd: z.string().describe('Exact, of the attempts whose price is known, with all corrections.'),
    cost_nano_usd: z.string(),
    ttft_ms: Spread,
    duration_ms: Spread,
    rough_quantiles: z.boolean().describe('p50 and p95 are right within a power of two of milliseconds.'),
  })
  .meta({ id: 'UsageRow' });
export type UsageRow = z.infer<typeof UsageRow>;

export const Usage = z
  .object({
    object: z.literal('usage'),
    since: Timestamp.nullable(),
    until: Timestamp.nullable(),
    by: z.array(z.string()),
    data: z.array(UsageRow).describe('The dearest first; of a series, the latest first.'),
    total: UsageRow.describe('Of everything that the filter lets through, also beyond `limit`.'),
  })
  .meta({ id: 'Usage' });
export type Usage = z.infer<typeof Usage>;

/** Per million tokens. */
const Rate = z
  .string()
  .max(40)
  .refine(isRate, { message: 'It must be an amount of money per million tokens, such as "0.15 USD".' });

function isRate(text: string): boolean {
  try {
    return parseUsd(text) <= BigInt(MAX_RATE);
  } catch {
    return false;
  }
}

export const ReRating = z
  .strictObject({
    deployment: z.string().min(1).max(256).describe('`provider/model`: whose attempts.'),
    since: Timestamp,
    until: Timestamp.optional(),
    price: z.strictObject({
      input: Rate,
      output: Rate,
      cached_input: Rate.optional(),
      reasoning_output: Rate.optional(),
    }),
    reason: Name.describe('Kept with each correction.'),
    after: z.string().max(1_024).optional().describe('`next_cursor` of the answer before.'),
  })
  .meta({
    id: 'ReRating',
    examples: [
      {
        deployment: 'vllm/llama',
        since: '2026-11-01T00:00:00Z',
        price: { input: '0.10 USD', output: '0.40 USD' },
        reason: 'The price came late.',
      },
    ],
  });

export const ReRated = z
  .object({
    object: z.literal('re_rated'),
    attempts: z.int().describe('That were looked at.'),
    corrected: z.int(),
    amount: z.string().describe('What the corrections add up to; may be below zero.'),
    has_more: z.boolean(),
    next_cursor: z.string().optional(),
  })
  .meta({ id: 'ReRated' });

const tag = 'Usage';

export const USAGE_OPERATIONS = {
  getUsage: reading('/usage', {
    tag,
    summary: 'Report what was used: totals, series and the dearest few',
    roles: READERS,
    query: {
      ...FILTER,
      by: By.optional().describe('`team,model`; absent: one row, of all.'),
      every: z.enum(['hour', 'day']).optional().describe('A series: a row for each hour or day (UTC).'),
      top: z.coerce.number().int().min(1).max(100).optional().describe('Only so many groups, the dearest.'),
      limit: z.coerce.number().int().min(1).max(1_000).default(200),
    },
    response: Usage,
  }),
  exportUsage: reading('/usage/export', {
    tag,
    summary: 'Export attempts, oldest first, one line for each; the answer is streamed',
    roles: READERS,
    query: {
      ...FILTER,
      format: z.enum(['csv', 'jsonl']).default('jsonl'),
      after: z.string().max(1_024).optional().describe('Where an export goes on that was broken off.'),
    },
    response: z.string(),
    contentTypes: { csv: 'text/csv', jsonl: 'application/x-ndjson' },
  }),
  reRate: changing('POST', '/usage/re-rate', {
    tag,
    summary: 'Charge up to 1000 attempts anew, by corrections; ask again with its cursor for the next',
    roles: MANAGERS,
    body: ReRating,
    response: ReRated,
  }),
};
