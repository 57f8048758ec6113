import { z } from 'zod';
import { TokenUsage } from './attempt.ts';
import { Endpoint } from './envelope.ts';

/** Bounded where it enters, at the ingress. */
const name = z.string();

/**
 * worker → ledger, JetStream, at least once: one attempt, whatever became of it. `attemptId` makes a redelivery
 * harmless. An ingress reports the attempts of a worker that died (`source: 'ingress'`), the ledger those that both took with them (`reaper`); the first report stands.
 */
export const UsageRecorded = z.looseObject({
  v: z.literal(1),
  attemptId: name,
  requestId: name,
  attempt: z.int().positive().max(1_000),
  source: z.enum(['worker', 'ingress', 'reaper']),
  /** When the attempt began. */
  startedEpochMs: z.int().nonnegative(),
  keyId: name,
  keyName: name,
  team: name.nullable(),
  /** As the client named it. */
  model: name,
  route: name.nullable(),
  /** Why this deployment was chosen: `Placed.reason`. */
  reason: name.nullish(),
  /** The part of a split route. */
  variant: name.nullish(),
  /** Absent: `interactive`. */
  lane: name.nullish(),
  deployment: name,
  provider: name,
  upstreamModel: name,
  endpoint: Endpoint,
  stream: z.boolean(),
  ...TokenUsage.shape,
  isEstimated: z.boolean(),
  /** Nano-dollars; one attempt stays below 2^53, sums are bigint. null: no price is known, which is not the same as free. */
  costNanoUsd: z.int().nonnegative().nullable(),
  queueMs: z.int().nonnegative(),
  ttftMs: z.int().nonnegative().nullable(),
  durationMs: z.int().nonnegative(),
  upstreamStatus: z.int().nullable(),
  finish: name.nullable(),
  /** A code of `ERRORS`; null for an attempt that succeeded. */
  error: name.nullable(),
  worker: name,
  ingress: name,
  traceparent: name.nullable(),
  organisation: name.nullish(),
  user: name.nullish(),
  feature: name.nullish(),
  session: name.nullish(),
  tags: z.record(name, name).nullish(),
  /** The id of the scope `model:` that it was admitted under; absent: `model`. */
  modelScope: name.nullish(),
  /** The route that it was admitted under (null: none), whose budgets pay for it; absent: `route`. */
  routeScope: name.nullish(),
  /** When its request was reserved, which decides the budgets' windows; absent: `startedEpochMs`. */
  admittedEpochMs: z.int().nonnegative().nullish(),
  /** What was reserved for it, nano-dollars. */
  reservedNanoUsd: z.int().nonnegative().nullish(),
  /** The leases it was reserved from. */
  leases: z.array(name).max(64).nullish(),
  /** Nano-dollars per million tokens, as charged: input, cached input, output, reasoning output. */
  rates: z.array(z.int().nonnegative()).length(4).nullish(),
  cacheHit: z.boolean().nullish(),
  /** Earlier attempts of the request, oldest first. */
  earlier: z
    .array(z.looseObject({ deployment: name, code: name }))
    .max(64)
    .nullish(),
  /** Guardrail → its verdict. */
  guardrails: z.record(name, name).nullish(),
});
export type UsageRecorded = z.infer<typeof UsageRecorded>;

/** One JetStream message: what one instance recorded within a window. */
export const UsageBatch = z.array(z.unknown()).max(1_000);
