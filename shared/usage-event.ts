import { chargedTo } from './charged-to.ts';
import { attemptIdOf } from './ids.ts';
import type { AttemptEnd } from './messages/attempt.ts';
import type { TaskHead } from './messages/task.ts';
import type { UsageRecorded } from './messages/usage.ts';
import type { Price } from './pricing.ts';
import { chargedRates } from './pricing.ts';

/** Who called whom. */
export interface ServedBy {
  readonly provider: string;
  readonly upstreamModel: string;
  /** undefined: none is known. */
  readonly price: Price | undefined;
  readonly worker: string;
  readonly ingress: string;
}

/** What of an attempt's end only the one who reports it knows. */
export interface Reported extends Pick<UsageRecorded, 'source' | 'startedEpochMs' | 'upstreamStatus' | 'error'> {
  readonly end: AttemptEnd;
}

/** The ledger's event of an attempt: the same whoever reports it, its worker, its ingress or the reaper. */
export function usageEventOf(task: TaskHead, by: ServedBy, { end, ...reported }: Reported): UsageRecorded {
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = end.usage;
  return {
    v: 1,
    attemptId: attemptIdOf(task.id, task.attempt),
    requestId: task.id,
    attempt: task.attempt,
    source: reported.source,
    startedEpochMs: reported.startedEpochMs,
    keyId: task.principal.keyId,
    keyName: task.principal.keyName,
    team: task.principal.team,
    model: task.model,
    route: task.route,
    reason: task.reason,
    variant: task.variant ?? null,
    ...(task.lane === undefined ? {} : { lane: task.lane }),
    deployment: task.deployment,
    provider: by.provider,
    upstreamModel: by.upstreamModel,
    endpoint: task.endpoint,
    stream: task.stream,
    inputTokens,
    outputTokens,
    cachedInputTokens,
    reasoningTokens,
    isEstimated: end.isEstimated,
    costNanoUsd: end.costNanoUsd,
    queueMs: Math.round(task.queueMs),
    ttftMs: end.ttftMs,
    durationMs: end.durationMs,
    upstreamStatus: reported.upstreamStatus,
    finish: end.finish,
    error: reported.error,
    worker: by.worker,
    ingress: by.ingress,
    traceparent: task.traceparent ?? null,
    ...chargedTo(task.principal, task.account, task.earlier),
    ...(by.price === undefined ? {} : { rates: chargedRates(inputTokens, by.price) }),
  };
}
