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

const BYTES_PER_TOKEN = 4;

/** A request's input tokens, guessed from its bytes: a quarter of them, upward. */
export function estimateInputTokens({ bodyBytes }: { readonly bodyBytes: number }): number {
  return Math.ceil(bodyBytes / BYTES_PER_TOKEN);
}
