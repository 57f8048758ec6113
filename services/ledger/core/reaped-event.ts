import { attemptIdOf } from '../../../shared/ids.ts';
import type { OpenAttempt } from '../../../shared/messages/open-attempt.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';

const BYTES_PER_TOKEN = 4;

/**
 * The end of an attempt that worker and ingress took with them: charged at what was reserved for it, and marked estimated.
 * Its tokens are those that the reservation was made for. Where nothing was reserved its cost is unknown.
 *
 * @param worker whose note it is
 * @param nowEpochMs when it is closed: its duration is what has passed until then
 */
export function reapedEvent(
  { startedEpochMs, ingress, task }: OpenAttempt,
  worker: string,
  nowEpochMs: number,
): UsageRecorded {
  const { account, principal, deployment } = task;
  const slash = deployment.indexOf('/');
  const inputTokens = Math.ceil(task.bodyBytes / BYTES_PER_TOKEN);
  return {
    v: 1,
    attemptId: attemptIdOf(task.id, task.attempt),
    requestId: task.id,
    attempt: task.attempt,
    source: 'reaper',
    startedEpochMs,
    keyId: principal.keyId,
    keyName: principal.keyName,
    team: principal.team,
    organisation: account?.organisation ?? principal.organisation ?? null,
    user: account?.user ?? principal.user ?? null,
    feature: account?.feature ?? null,
    session: account?.session ?? null,
    tags: account?.tags ?? null,
    modelScope: account?.modelScope ?? null,
    ...(account?.routeScope === undefined ? {} : { routeScope: account.routeScope }),
    admittedEpochMs: account?.admittedEpochMs ?? null,
    reservedNanoUsd: account?.reservedNanoUsd ?? null,
    leases: account?.leases ?? null,
    earlier: task.earlier ?? null,
    model: task.model,
    route: task.route,
    reason: task.reason,
    variant: task.variant ?? null,
    lane: task.lane ?? null,
    deployment,
    provider: deployment.slice(0, Math.max(0, slash)),
    upstreamModel: deployment.slice(slash + 1),
    endpoint: task.endpoint,
    stream: task.stream,
    inputTokens,
    outputTokens: task.outputTokensBound ?? Math.max(0, task.tokensEstimate - inputTokens),
    cachedInputTokens: 0,
    reasoningTokens: 0,
    isEstimated: true,
    costNanoUsd: account?.reservedNanoUsd ?? null,
    queueMs: Math.round(task.queueMs),
    ttftMs: null,
    durationMs: Math.max(0, nowEpochMs - startedEpochMs),
    upstreamStatus: null,
    finish: null,
    error: 'worker_lost',
    worker,
    ingress,
    traceparent: task.traceparent ?? null,
  };
}
