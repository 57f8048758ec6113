import { hash } from 'node:crypto';
import type { Millis } from '../../../shared/clock.ts';
import type { Envelope, Placed, Tried } from '../../../shared/messages/envelope.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import type { AdmittedRequest } from '../request.ts';

/** 132 bits: no two meet by chance. */
const AFFINITY_CHARACTERS = 22;

/** What a router is told of a request: enough to decide, and nothing of its text. */
export function envelopeOf(request: AdmittedRequest, tried: Tried[], slotsAhead: number): Envelope {
  const { id, principal, model, endpoint, stream, body, deadlineEpochMs, kin, traceparent } = request;
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
    ...(kin === undefined ? {} : { affinity: affinityOf(kin) }),
    ...(slotsAhead === 0 ? {} : { slotsAhead }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/** A hash: the router needs to know who belongs together, not who they are. */
function affinityOf(kin: string): string {
  return hash('sha256', kin, 'base64url').slice(0, AFFINITY_CHARACTERS);
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
