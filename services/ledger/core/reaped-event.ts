import type { OpenAttempt } from '../../../shared/messages/open-attempt.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { estimateInputTokens } from '../../../shared/tokens.ts';
import { usageEventOf } from '../../../shared/usage-event.ts';

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
  const { account, deployment } = task;
  const slash = deployment.indexOf('/');
  const by = {
    provider: deployment.slice(0, Math.max(0, slash)),
    upstreamModel: deployment.slice(slash + 1),
    price: undefined,
    ...{ worker, ingress },
  };
  const inputTokens = estimateInputTokens(task);
  const outputTokens = task.outputBound?.tokens ?? Math.max(0, task.tokensEstimate - inputTokens);
  const end = {
    finish: null,
    usage: { inputTokens, outputTokens, cachedInputTokens: 0, reasoningTokens: 0 },
    isEstimated: true,
    costNanoUsd: account?.reservedNanoUsd ?? null,
    ttftMs: null,
    durationMs: Math.max(0, nowEpochMs - startedEpochMs),
  };
  return usageEventOf(task, by, { source: 'reaper', startedEpochMs, upstreamStatus: null, error: 'worker_lost', end });
}
