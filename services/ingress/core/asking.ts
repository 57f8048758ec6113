import type { Millis } from '../../../shared/clock.ts';
import type { Envelope, Placed, Tried } from '../../../shared/messages/envelope.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { AdmittedRequest } from '../request.ts';

/** What a router is told of a request: enough to decide, and nothing of its text. */
export function envelopeOf(request: AdmittedRequest, tried: Tried[], slotsAhead: number): Envelope {
  const { id, principal, model, endpoint, stream, body, deadlineEpochMs, affinity, traceparent } = request;
  return {
    v: 1,
    id,
    principal,
    model,
    endpoint,
    stream,
    bodyBytes: body.length,
    deadlineEpochMs,
    tried,
    ...(affinity === undefined ? {} : { affinity }),
    ...(slotsAhead === 0 ? {} : { slotsAhead }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/** What a worker is told of one attempt, besides the body. */
export function taskOf(
  request: AdmittedRequest,
  placed: Placed,
  { attempt, deadlineEpochMs, creditBytes }: { attempt: number; deadlineEpochMs: Millis; creditBytes: number },
): TaskHead {
  const { id, principal, model, endpoint, stream, includeUsage, modelAt, streamOptionsAt, body, traceparent } = request;
  const { deployment, pool, router, slot, route, queueMs } = placed;
  return {
    v: 1,
    id,
    attempt,
    deployment,
    pool,
    router,
    slot,
    route,
    principal,
    model,
    endpoint,
    stream,
    includeUsage,
    modelAt,
    streamOptionsAt,
    bodyBytes: body.length,
    deadlineEpochMs,
    queueMs,
    creditBytes,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
