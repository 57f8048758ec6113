/** Usage events as a company of fifty teams makes them: what the ledger's figures depend on. */
import { COMPANY } from '../../services/ledger/testing/company.ts';
import type { UsageRecorded } from '../../shared/messages/usage.ts';
import { seeded } from '../../shared/testing/seeded.ts';

const {
  teams: TEAMS,
  keys: KEYS,
  users: USERS,
  models: MODELS,
  modelsOfKey: MODELS_OF_KEY,
  projects: PROJECTS,
} = COMPANY;

/** Events with ids of their times, in the order of their times; the same for the same seed. */
export function* makeEvents(
  count: number,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Generator<UsageRecorded> {
  const random = seeded(3);
  const below = (most: number): number => Math.floor(random() * most);
  // Few make most of it: half of all is done by the first sixteenth.
  const mostly = (most: number): number => Math.floor(random() ** 4 * most);
  for (let i = 0; i < count; i++) {
    const startedEpochMs = Math.floor(fromMs + ((toMs - fromMs) * i) / count);
    const key = mostly(KEYS);
    const team = key % TEAMS;
    const model = (key * 7 + mostly(MODELS_OF_KEY)) % MODELS;
    const requestId = `req_${startedEpochMs.toString(16).padStart(12, '0')}7${i.toString(16).padStart(19, '0')}`;
    const [inputTokens, outputTokens] = [100 + below(4_000), 20 + below(800)];
    yield {
      v: 1,
      attemptId: `${requestId}.1`,
      requestId,
      ...{ attempt: 1, source: 'worker', startedEpochMs, admittedEpochMs: startedEpochMs, keyId: `key_${key}` },
      ...{ keyName: `key ${key}`, organisation: 'acme', team: `team-${team}` },
      ...{ user: `user-${key}-${mostly(USERS)}`, feature: `feature-${key % 7}`, model: `model-${model}` },
      tags: { project: `project-${team}-${below(PROJECTS)}` },
      ...{ route: model < 3 ? `route-${model}` : null, reason: 'peak_ewma', variant: null },
      ...{ deployment: `provider-${model % 4}/model-${model}`, provider: `provider-${model % 4}` },
      ...{ upstreamModel: `model-${model}`, endpoint: 'chat', stream: true, inputTokens, outputTokens },
      ...{ cachedInputTokens: 0, reasoningTokens: 0, isEstimated: false },
      ...{
        costNanoUsd: inputTokens * 150 + outputTokens * 600,
        rates: [150_000_000, 150_000_000, 600_000_000, 600_000_000],
      },
      ...{ reservedNanoUsd: 1_000_000, leases: [`lease-${below(100)}`], queueMs: below(3), ttftMs: 100 + below(900) },
      ...{ durationMs: 500 + below(20_000), upstreamStatus: 200, finish: 'stop' },
      ...{ error: random() < 0.02 ? 'upstream_failed' : null, worker: 'wrk-1', ingress: 'ing-1' },
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
  }
}
