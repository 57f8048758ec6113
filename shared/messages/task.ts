import { z } from 'zod';
import { Endpoint, Principal } from './envelope.ts';

/** Where a value stands in the request's body: byte offsets, end exclusive. */
export const ByteRange = z.tuple([z.number(), z.number()]);
export type ByteRange = z.infer<typeof ByteRange>;

/**
 * ingress → worker, the head of an `open` frame; a newline and the body follow, as the client sent it.
 * The worker writes the provider's model name and stream options over the ranges; nothing else is touched.
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
  principal: Principal,
  /** As the client named it; the answer says this name too. */
  model: z.string(),
  endpoint: Endpoint,
  stream: z.boolean(),
  /** Whether the client asked for the usage chunk of a stream. */
  includeUsage: z.boolean(),
  modelAt: ByteRange,
  streamOptionsAt: ByteRange.nullable(),
  bodyBytes: z.number(),
  deadlineEpochMs: z.number(),
  queueMs: z.number(),
  creditBytes: z.number(),
  traceparent: z.string().optional(),
});
export type TaskHead = z.infer<typeof TaskHead>;
