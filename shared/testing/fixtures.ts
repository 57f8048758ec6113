import type { Deployment } from '../catalog.ts';
import type { TaskHead } from '../messages/task.ts';

/** A deployment of which nothing is known but its id. */
export function deploymentOf(id: string, fields: Partial<Deployment> = {}): Deployment {
  const [provider = id, model = 'm'] = id.split('/', 2);
  return {
    ...{ id, provider, pool: provider, model, upstreamModel: model, price: undefined, region: undefined },
    ...{ capabilities: undefined, contextTokens: undefined, prefill: 'none' },
    ...{ maxOutputTokens: undefined, outputLimit: 'max_tokens' },
    limits: { requestsPerMinute: undefined, tokensPerMinute: undefined },
    ...fields,
  };
}

/** A plain chat completion for `p/m`, by `fields`. */
export function taskHeadOf(fields: Partial<TaskHead> = {}): TaskHead {
  return {
    ...{ v: 1, id: 'req_1', attempt: 1, deployment: 'p/m', pool: 'p', router: 'r', slot: 1, route: null },
    ...{ reason: 'ordered', tokensEstimate: 0, principal: { keyId: 'k', keyName: 'k', team: null } },
    ...{ model: 'm', endpoint: 'chat', stream: false, includeUsage: false, modelAt: [0, 0], streamOptionsAt: null },
    ...{ bodyBytes: 0, deadlineEpochMs: 0, queueMs: 0, creditBytes: 1 },
    ...fields,
  };
}
