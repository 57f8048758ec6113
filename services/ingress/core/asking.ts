import { hash } from 'node:crypto';
import type { Millis } from '../../../shared/clock.ts';
import type { Envelope, Placed, Tried } from '../../../shared/messages/envelope.ts';
import type { TaskHead } from '../../../shared/messages/task.ts';
import { tokensEstimateOf } from '../../../shared/tokens.ts';
import type { AdmittedRequest } from '../request.ts';

/** 132 bits: no two meet by chance. */
const AFFINITY_CHARACTERS = 22;

/** What only some requests have to say to a router. */
export interface Circumstances {
  /** In the lines of routers that were lost. */
  readonly waitedMs?: Millis;
  /** In line, before its earlier attempts. */
  readonly queuedMs?: Millis;
  /** The answer has begun: only who can go on from its text may take over. */
  readonly isContinuation?: boolean;
}

/** What a router is told of a request: enough to decide, and nothing of its text but the sketch that some routes want. */
export function envelopeOf(
  request: AdmittedRequest,
  tried: Tried[],
  slotsAhead: number,
  { waitedMs = 0, queuedMs = 0, isContinuation = false }: Circumstances = {},
): Envelope {
  const { id, principal, model, endpoint, stream, body, deadlineEpochMs, kin, traceparent } = request;
  const { inputTokens, maxOutputTokens, needs, lane, via, overrides, sketch, servedAs, mustBePriced } = request;
  return {
    v: 1,
    id,
    principal,
    model: servedAs ?? model,
    endpoint,
    stream,
    bodyBytes: body.length,
    deadlineEpochMs,
    tried,
    inputTokens,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(needs.length === 0 ? {} : { needs: [...needs] }),
    ...(lane === 'interactive' ? {} : { lane }),
    ...(via === undefined ? {} : { via }),
    ...(overrides === undefined ? {} : { overrides }),
    ...(sketch === undefined ? {} : { sketch }),
    ...(kin === undefined ? {} : { affinity: affinityOf(kin) }),
    ...(slotsAhead === 0 ? {} : { slotsAhead }),
    ...(waitedMs === 0 ? {} : { waitedMs }),
    ...(queuedMs === 0 ? {} : { queuedMs }),
    ...(isContinuation ? { continues: true } : {}),
    ...(mustBePriced ? { mustBePriced } : {}),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/** A hash: the router needs to know who belongs together, not who they are. */
function affinityOf(kin: string): string {
  return hash('sha256', kin, 'base64url').slice(0, AFFINITY_CHARACTERS);
}

/** What holds for one attempt. */
export interface TaskTerms {
  /** Counts from 1. */
  readonly attempt: number;
  readonly deadlineEpochMs: Millis;
  readonly creditBytes: number;
  /** The stream that it goes on with. */
  readonly continues?: TaskHead['continues'];
  /** Attempts that failed before it, oldest first. */
  readonly earlier?: TaskHead['earlier'];
  /** Whom it is charged to. */
  readonly account?: TaskHead['account'];
  readonly outputBound?: TaskHead['outputBound'];
}

/** What a worker is told of one attempt, besides the body. */
export function taskOf(
  request: AdmittedRequest,
  placed: Placed,
  { attempt, deadlineEpochMs, creditBytes, continues, account, outputBound, earlier = [] }: TaskTerms,
): TaskHead {
  const { id, principal, model, endpoint, stream, includeUsage, modelAt, streamOptionsAt, body, traceparent } = request;
  const { lane, dropAt } = request;
  const { deployment, pool, router, slot, route, reason, variant, queueMs } = placed;
  return {
    v: 1,
    id,
    attempt,
    deployment,
    pool,
    router,
    slot,
    route,
    reason,
    ...(variant === undefined ? {} : { variant }),
    ...(lane === 'interactive' ? {} : { lane }),
    tokensEstimate: tokensEstimateOf(request),
    principal,
    model,
    endpoint,
    stream,
    includeUsage,
    modelAt,
    streamOptionsAt,
    ...(dropAt === undefined ? {} : { dropAt }),
    bodyBytes: body.length,
    deadlineEpochMs,
    queueMs,
    creditBytes,
    ...(continues === undefined ? {} : { continues }),
    ...(account === undefined ? {} : { account }),
    ...(outputBound === undefined ? {} : { outputBound }),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(earlier.length === 0 ? {} : { earlier: [...earlier] }),
  };
}
