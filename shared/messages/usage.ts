import { z } from 'zod';
import { TokenUsage } from './attempt.ts';
import { Endpoint } from './envelope.ts';

/** Bounded where it enters, at the ingress. */
const name = z.string();

/**
 * worker → ledger, JetStream, at least once: one attempt, whatever became of it. `attemptId` makes a redelivery
 * harmless. An ingress reports the attempts of a worker that died (`source: 'ingress'`); the first report stands.
 */
export const UsageRecorded = z.looseObject({
  v: z.literal(1),
  attemptId: name,
  requestId: name,
  attempt: z.int().positive().max(1_000),
  source: z.enum(['worker', 'ingress']),
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
});
export type UsageRecorded = z.infer<typeof UsageRecorded>;

/** One JetStream message: what one instance recorded within a window. */
export const UsageBatch = z.array(z.unknown()).max(1_000);
