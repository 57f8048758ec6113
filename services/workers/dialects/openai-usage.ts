import type { TokenUsage } from '../../../shared/messages/attempt.ts';
import { MAX_TOKENS } from '../../../shared/pricing.ts';
import { isRecord } from './openai-error.ts';

/** OpenAI's `usage` object, of a chat answer or of embeddings → ours; undefined when it is none or its counts are no counts. */
export function readOpenAiUsage(value: unknown): TokenUsage | undefined {
  if (!isRecord(value)) return undefined;
  const inputTokens = count(value['prompt_tokens']);
  const outputTokens = count(value['completion_tokens'] ?? 0);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  return {
    inputTokens,
    outputTokens,
    cachedInputTokens: detail(value['prompt_tokens_details'], 'cached_tokens'),
    reasoningTokens: detail(value['completion_tokens_details'], 'reasoning_tokens'),
  };
}

function detail(details: unknown, name: string): number {
  return isRecord(details) ? (count(details[name]) ?? 0) : 0;
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS
    ? (value as number)
    : undefined;
}
