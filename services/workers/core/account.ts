import type { Deployment } from '../../../shared/catalog.ts';
import { chargedTo } from '../../../shared/charged-to.ts';
import { attemptIdOf } from '../../../shared/ids.ts';
import type { AttemptEnd, TokenUsage } from '../../../shared/messages/attempt.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { chargedRates, costOf } from '../../../shared/pricing.ts';

const BYTES_PER_TOKEN = 4;

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

/** A request's input tokens, guessed from its bytes: a quarter of them, upward. */
export function estimateInputTokens(task: TaskHead): number {
  return Math.ceil(task.bodyBytes / BYTES_PER_TOKEN);
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
  return {
    v: 1,
    attemptId: attemptIdOf(task.id, task.attempt),
    requestId: task.id,
    attempt: task.attempt,
    source: 'worker',
    startedEpochMs: context.startedEpochMs,
    keyId: task.principal.keyId,
    keyName: task.principal.keyName,
    team: task.principal.team,
    model: task.model,
    route: task.route,
    reason: task.reason,
    variant: task.variant ?? null,
    ...(task.lane === undefined ? {} : { lane: task.lane }),
    deployment: deployment.id,
    provider: deployment.provider,
    upstreamModel: deployment.upstreamModel,
    endpoint: task.endpoint,
    stream: task.stream,
    inputTokens: end.usage.inputTokens,
    outputTokens: end.usage.outputTokens,
    cachedInputTokens: end.usage.cachedInputTokens,
    reasoningTokens: end.usage.reasoningTokens,
    isEstimated: end.isEstimated,
    costNanoUsd: end.costNanoUsd,
    queueMs: Math.round(task.queueMs),
    ttftMs: end.ttftMs,
    durationMs: end.durationMs,
    upstreamStatus: context.upstreamStatus,
    finish: end.finish,
    error: context.error,
    worker: context.worker,
    ingress: context.ingress,
    traceparent: task.traceparent ?? null,
    ...chargedTo(task.principal, task.account, task.earlier),
    ...(deployment.price === undefined ? {} : { rates: chargedRates(end.usage.inputTokens, deployment.price) }),
  };
}
