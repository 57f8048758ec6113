/**
 * Messages of the hot path are checked for their shape and types; ranges are the sender's duty, where the value is made
 * (a range check costs five times the type check, and there are some sixty fields on a request's way).
 */
import { z } from 'zod';

export const Endpoint = z.enum(['chat', 'embeddings']);
export type Endpoint = z.infer<typeof Endpoint>;

/** Who asks: the key, and what it stands for. Ids and names, never the key itself. */
export const Principal = z.looseObject({
  keyId: z.string(),
  keyName: z.string(),
  team: z.string().nullable(),
});
export type Principal = z.infer<typeof Principal>;

/** One earlier attempt of the same request: what the router needs to know to choose otherwise. */
export const Tried = z.looseObject({ deployment: z.string(), worker: z.string(), code: z.string() });
export type Tried = z.infer<typeof Tried>;

/**
 * ingress → router, core NATS: "where?". What the router must know of a request to decide; never its body.
 * Lost on the way: the ingress asks once more after its own deadline.
 */
export const Envelope = z.looseObject({
  v: z.literal(1),
  id: z.string(),
  principal: Principal,
  /** The name the client sent: a route, `provider/model`, or a bare model. */
  model: z.string(),
  endpoint: Endpoint,
  stream: z.boolean(),
  bodyBytes: z.number(),
  deadlineEpochMs: z.number(),
  tried: z.array(Tried),
  /** A hash of the conversation or user that the request names, for routes that keep those together. */
  affinity: z.string().optional(),
  /** Slots that the ingress would like besides, for the next requests of the same name. */
  slotsAhead: z.number().optional(),
  /** W3C trace context, passed on as it came. */
  traceparent: z.string().optional(),
});
export type Envelope = z.infer<typeof Envelope>;

/** Slots `from`..`to` (inclusive) of one worker. */
export const SlotRange = z.looseObject({ worker: z.string(), from: z.number(), to: z.number() });
export type SlotRange = z.infer<typeof SlotRange>;

/** router → ingress: one slot of one worker, promised to this request alone. */
export const Placed = z.looseObject({
  v: z.literal(1),
  deployment: z.string(),
  pool: z.string(),
  worker: z.string(),
  router: z.string(),
  /** The slot: the worker knows it by (router, slot), and takes it once. */
  slot: z.number(),
  route: z.string().nullable(),
  queueMs: z.number(),
  /** The route's own deadline, when it is sooner than the request's. */
  timeoutMs: z.number().optional(),
  /**
   * Slots promised ahead: for `AHEAD_FOR_MS` this answer stands for further requests of the same name too, one for each
   * of these. What is left then, or when the router recalls it, the ingress gives back to the worker.
   */
  ahead: z.array(SlotRange).optional(),
});
export type Placed = z.infer<typeof Placed>;

/** router → ingress: no slot is free; the request waits at this router until its deadline. */
export const Waiting = z.looseObject({ v: z.literal(1), router: z.string(), position: z.number() });
export type Waiting = z.infer<typeof Waiting>;

export const WireError = z.looseObject({
  code: z.string(),
  message: z.string(),
  param: z.string().optional(),
  retryAfterMs: z.number().optional(),
  upstream: z.looseObject({ status: z.number(), code: z.string().optional(), type: z.string().optional() }).optional(),
});

/** router → ingress: nobody can serve this. `isExhausted`: every candidate was tried, so the last failure is the answer. */
export const Refused = z.looseObject({ v: z.literal(1), error: WireError, isExhausted: z.boolean() });
export type Refused = z.infer<typeof Refused>;
