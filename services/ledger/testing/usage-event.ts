import { attemptIdOf, makeRequestId } from '../../../shared/ids.ts';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';

/** An attempt that succeeded, with an id of its own. */
export function usageEvent(overrides: Partial<UsageRecorded> = {}): UsageRecorded {
  const requestId = makeRequestId();
  return {
    v: 1,
    attemptId: attemptIdOf(requestId, 1),
    requestId,
    attempt: 1,
    source: 'worker',
    startedEpochMs: Date.UTC(2026, 10, 20, 12),
    keyId: 'key_1',
    keyName: 'one',
    team: null,
    model: 'gpt-4o-mini',
    route: null,
    deployment: 'openai/gpt-4o-mini',
    provider: 'openai',
    upstreamModel: 'gpt-4o-mini',
    endpoint: 'chat',
    stream: true,
    inputTokens: 1_000,
    outputTokens: 200,
    cachedInputTokens: 100,
    reasoningTokens: 50,
    isEstimated: false,
    costNanoUsd: 270_000,
    queueMs: 1,
    ttftMs: 300,
    durationMs: 2_000,
    upstreamStatus: 200,
    finish: 'stop',
    error: null,
    worker: 'wrk-1',
    ingress: 'ing-1',
    traceparent: null,
    ...overrides,
  };
}

export function usageEvents(count: number, overrides: Partial<UsageRecorded> = {}): UsageRecorded[] {
  return Array.from({ length: count }, () => usageEvent(overrides));
}
