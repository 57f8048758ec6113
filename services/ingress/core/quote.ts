import type { Deployment } from '../../../shared/catalog.ts';
import type { TokenBounds } from '../../../shared/dialects/openai-needs.ts';
import type { Endpoint } from '../../../shared/messages/envelope.ts';
import type { CountedTokens, Price, TokenRates } from '../../../shared/pricing.ts';
import { costOf, MAX_TOKENS } from '../../../shared/pricing.ts';

/** Output tokens where neither the request nor the price table says how many there may be. */
const USUAL_MAX_OUTPUT_TOKENS = 4_096;
/** Input tokens that the longest models take: of a request whose length cannot be told, where nobody says what its model takes. */
const LONGEST_CONTEXT = 2_097_152;
/** What a cut-off answer may have brought besides what was seen of it: a count of our own may be half of the provider's. */
const UNSEEN_FACTOR = 2;
const UNSEEN_TOKENS = 64;

/** The most that one attempt of a request can cost, whoever serves it. Nano-dollars. */
export interface Quote {
  readonly nanoUsd: number;
  /** The part of it that is for the input. */
  readonly inputNanoUsd: number;
  /** Of the dearest output, per million tokens. */
  readonly outputRate: number;
  /** Of some deployment that could serve it no price is known: it must not be asked. */
  readonly hasUnpriced: boolean;
}

/** What a request says of its own size. */
export interface Sized {
  readonly endpoint: Endpoint;
  readonly bounds: TokenBounds;
}

/**
 * The dearest of the candidates: all tokens that there may be, at the highest of each one's rates that may apply.
 * @returns undefined when no price of theirs is known
 */
export function quoteOf(candidates: Iterable<Deployment>, request: Sized): Quote | undefined {
  let quote: Quote | undefined;
  let hasUnpriced = false;
  for (const deployment of candidates) {
    if (deployment.price === undefined) {
      hasUnpriced = true;
      continue;
    }
    const inputTokens = inputBoundOf(deployment, request.bounds);
    const rates = highestRates(deployment.price, inputTokens);
    const inputNanoUsd = costOf(tokens(inputTokens, 0), rates);
    const nanoUsd = costOf(tokens(inputTokens, totalOutput(deployment, request)), rates);
    const outputRate = Math.max(quote?.outputRate ?? 0, rates.output);
    // Part and whole may be of different candidates: each is the most that there can be.
    quote = {
      nanoUsd: Math.max(quote?.nanoUsd ?? 0, nanoUsd),
      inputNanoUsd: Math.max(quote?.inputNanoUsd ?? 0, inputNanoUsd),
      outputRate,
      hasUnpriced: false,
    };
  }
  return quote !== undefined && hasUnpriced ? { ...quote, hasUnpriced } : quote;
}

/**
 * Output tokens of each choice that a quote has counted for this deployment: no provider may make more. What the request
 * itself says, or the most that the model makes where that is less or nothing is said. undefined: it has no output.
 */
export function outputBoundOf(
  { maxOutputTokens }: Pick<Deployment, 'maxOutputTokens'>,
  { endpoint, bounds }: Sized,
): number | undefined {
  if (endpoint === 'embeddings') return undefined;
  const { outputTokens, choices = 1 } = bounds;
  const each =
    outputTokens === undefined
      ? (maxOutputTokens ?? USUAL_MAX_OUTPUT_TOKENS)
      : Math.min(outputTokens, maxOutputTokens ?? outputTokens);
  return Math.max(1, Math.min(each, Math.floor(MAX_TOKENS / choices)));
}

/**
 * The most that an attempt can have cost of which only a part was seen: it was cancelled, or its worker was lost. The
 * account will say less.
 */
export function costSeenOf({ nanoUsd, inputNanoUsd, outputRate }: Quote, outputTokensSoFar: number): number {
  const unseen = Math.min(MAX_TOKENS, UNSEEN_FACTOR * outputTokensSoFar + UNSEEN_TOKENS);
  return Math.min(nanoUsd, inputNanoUsd + costOf(tokens(0, unseen), { input: 0, output: outputRate }));
}

function inputBoundOf({ contextTokens }: Deployment, { inputTokens, isOpenEnded }: TokenBounds): number {
  const open = isOpenEnded ? (contextTokens ?? LONGEST_CONTEXT) : 0;
  return Math.min(MAX_TOKENS, Math.max(inputTokens, open));
}

function totalOutput(deployment: Deployment, request: Sized): number {
  const { choices = 1 } = request.bounds;
  return Math.min(MAX_TOKENS, (outputBoundOf(deployment, request) ?? 0) * choices);
}

/** One rate for all input and one for all output, each the highest that a request of up to so much input may meet. */
function highestRates(price: Price, inputTokens: number): Price {
  let { input, output } = highestOf(price);
  output = Math.max(output, price.reasoningOutput ?? 0);
  for (const tier of price.tiers ?? []) {
    if (inputTokens <= tier.aboveInputTokens) continue;
    const rates = highestOf(tier);
    input = Math.max(input, rates.input);
    output = Math.max(output, rates.output);
  }
  return { input, output };
}

function highestOf({ input, output, cachedInput = 0 }: TokenRates): { input: number; output: number } {
  return { input: Math.max(input, cachedInput), output };
}

function tokens(inputTokens: number, outputTokens: number): CountedTokens {
  return { inputTokens, outputTokens, cachedInputTokens: 0, reasoningTokens: 0 };
}
