import type { Endpoint } from './messages/envelope.ts';

/** Output tokens of a request that does not say how many it wants: about a page. */
export const USUAL_OUTPUT_TOKENS = 256;

/** Tokens that a request may use in all, for limits in tokens. */
export function tokensEstimateOf(request: {
  readonly endpoint: Endpoint;
  readonly inputTokens: number;
  readonly maxOutputTokens?: number | undefined;
}): number {
  const { endpoint, inputTokens, maxOutputTokens = USUAL_OUTPUT_TOKENS } = request;
  return endpoint === 'embeddings' ? inputTokens : inputTokens + maxOutputTokens;
}
