import { z } from 'zod';
import { Account } from './account.ts';
import { Endpoint, Lane, Principal } from './envelope.ts';

/** Where a value stands in the request's body: byte offsets, end exclusive. */
export const ByteRange = z.tuple([z.number(), z.number()]);
export type ByteRange = z.infer<typeof ByteRange>;

/** How many output tokens each choice may have, and where the body says how many it wants. */
export const OutputBound = z.looseObject({
  tokens: z.number(),
  at: z.looseObject({ max_completion_tokens: ByteRange.optional(), max_tokens: ByteRange.optional() }),
});
export type OutputBound = z.infer<typeof OutputBound>;

/**
 * ingress → worker, the head of an `open` frame; a newline and the body follow, as the client sent it.
 * The worker writes the provider's model name and stream options over the ranges, and leaves out what is the gateway's
 * own; nothing else is touched.
 */
export const TaskHead = z.looseObject({
  v: z.literal(1),
  id: z.string(),
  /** Counts from 1. With `id` it names the attempt in the ledger, whoever reports it. */
  attempt: z.number(),
  deployment: z.string(),
  pool: z.string(),
  router: z.string(),
  slot: z.number(),
  route: z.string().nullable(),
  reason: z.string(),
  variant: z.string().optional(),
  /** Absent: `interactive`. */
  lane: Lane.optional(),
  /** Tokens that this attempt may use, for the limits in tokens: an estimate. */
  tokensEstimate: z.number(),
  principal: Principal,
  /** As the client named it; the answer says this name too. */
  model: z.string(),
  endpoint: Endpoint,
  stream: z.boolean(),
  /** Whether the client asked for the usage chunk of a stream. */
  includeUsage: z.boolean(),
  modelAt: ByteRange,
  streamOptionsAt: ByteRange.nullable(),
  /** Members that are for the gateway alone, with their commas. */
  dropAt: z.array(ByteRange).optional(),
  bodyBytes: z.number(),
  deadlineEpochMs: z.number(),
  queueMs: z.number(),
  creditBytes: z.number(),
  /**
   * The client has the beginning of this answer from another attempt: the body's last message is its text so far, and
   * ends before the byte `messageEnd` (its closing brace). The stream goes on under the first one's name.
   */
  continues: z.looseObject({ id: z.string(), created: z.number(), messageEnd: z.number() }).optional(),
  traceparent: z.string().optional(),
  account: Account.optional(),
  /** What the reservation covers: the provider is told no more than that. Absent: as the body says. */
  outputBound: OutputBound.optional(),
  /** Earlier attempts of the same request, oldest first: the deployment, and the code it failed with. */
  earlier: z.array(z.looseObject({ deployment: z.string(), code: z.string() })).optional(),
});
export type TaskHead = z.infer<typeof TaskHead>;
