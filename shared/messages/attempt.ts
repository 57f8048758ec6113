import { z } from 'zod';
import { WireError } from './envelope.ts';

/** Tokens as the provider counted them. Cached input is part of input, reasoning is part of output. */
export const TokenUsage = z.looseObject({
  inputTokens: z.number(),
  outputTokens: z.number(),
  cachedInputTokens: z.number(),
  reasoningTokens: z.number(),
});
export type TokenUsage = z.infer<typeof TokenUsage>;

/** worker → ingress: the attempt came to its proper end. */
export const AttemptEnd = z.looseObject({
  finish: z.string().nullable(),
  usage: TokenUsage,
  /** The provider told no usage: these are our own counts. */
  isEstimated: z.boolean(),
  /** null: no price is known for this model. */
  costNanoUsd: z.number().nullable(),
  ttftMs: z.number().nullable(),
  durationMs: z.number(),
});
export type AttemptEnd = z.infer<typeof AttemptEnd>;

/**
 * worker → ingress, once per attempt: what the client is told before the bytes. For a stream it is sent with the first
 * content token. A plain answer is complete before its head leaves, so the head has its end, and the body follows in
 * the same frame (`whole`) or in `data` frames.
 */
export const ResponseHead = z.looseObject({
  contentType: z.string(),
  /** The provider's own headers that clients may see, already under their `x-upstream-` names. */
  headers: z.record(z.string(), z.string()),
  /** Estimated from the request's size: the account of a stream whose worker dies before the provider tells. */
  inputTokensEstimate: z.number(),
  plain: z.looseObject({ bodyBytes: z.number(), end: AttemptEnd }).optional(),
});
export type ResponseHead = z.infer<typeof ResponseHead>;

/** worker → ingress: the attempt failed; with no `head` sent before, another deployment may take over. */
export const AttemptFailed = z.looseObject({
  error: WireError,
  /** No attempt was begun: the provider was not asked, and no usage event tells of it. */
  isDeclined: z.boolean().optional(),
  /** Of what it used until then. null: no price is known. */
  costNanoUsd: z.number().nullable().optional(),
});
export type AttemptFailed = z.infer<typeof AttemptFailed>;
