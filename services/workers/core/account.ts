import type { Deployment } from '../../../shared/catalog.ts';
import type { AttemptEnd, TokenUsage } from '../../../shared/messages/attempt.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { costOf } from '../../../shared/pricing.ts';
import { estimateInputTokens } from '../../../shared/tokens.ts';
import { usageEventOf } from '../../../shared/usage-event.ts';

export interface AttemptAccount {
  readonly startedEpochMs: number;
  readonly durationMs: number;
  readonly ttftMs: number | null;
  /** The provider's own count; undefined when it told none. */
  readonly usage: TokenUsage | undefined;
  /** Whether the provider began to answer: what it never began is not billed. */
  readonly hasBegun: boolean;
  readonly outputTokensSoFar: number;
  /** By a tokenizer, where that was worth it; before our own estimates. */
  readonly counted?: { readonly input: number | undefined; readonly output: number } | undefined;
  readonly finish: string | null;
}

/** What an attempt used: the provider's count, or ours where it told none. */
export function endOf(task: TaskHead, deployment: Deployment, account: AttemptAccount): AttemptEnd {
  const usage = account.usage ?? estimate(task, account);
  return {
    finish: account.finish,
    usage,
    isEstimated: account.usage === undefined,
    costNanoUsd: costOf(usage, deployment.price) ?? null,
    ttftMs: account.ttftMs === null ? null : Math.round(account.ttftMs),
    durationMs: Math.round(account.durationMs),
  };
}

function estimate(task: TaskHead, { hasBegun, outputTokensSoFar, counted }: AttemptAccount): TokenUsage {
  const inputTokens = hasBegun ? (counted?.input ?? estimateInputTokens(task)) : 0;
  const outputTokens = counted?.output ?? outputTokensSoFar;
  return { inputTokens, outputTokens, cachedInputTokens: 0, reasoningTokens: 0 };
}

/** The ledger's event of an attempt. */
export function usageEvent(
  task: TaskHead,
  deployment: Deployment,
  end: AttemptEnd,
  context: {
    startedEpochMs: number;
    upstreamStatus: number | null;
    error: string | null;
    worker: string;
    ingress: string;
  },
): UsageRecorded {
  const { provider, upstreamModel, price } = deployment;
  const { worker, ingress, ...reported } = context;
  return usageEventOf(
    task,
    { provider, upstreamModel, price, worker, ingress },
    { source: 'worker', end, ...reported },
  );
}
