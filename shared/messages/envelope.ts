/**
 * Messages of the hot path are checked for their shape and types; ranges are the sender's duty, where the value is made
 * (a range check costs five times the type check, and there are some sixty fields on a request's way).
 */
import { z } from 'zod';

export const Endpoint = z.enum(['chat', 'embeddings']);
export type Endpoint = z.infer<typeof Endpoint>;

/** A batch line waits behind every interactive request. */
export const Lane = z.enum(['interactive', 'batch']);
export type Lane = z.infer<typeof Lane>;

/** What a deployment must be able to do, to be asked: names of the price table's capabilities. */
export const Need = z.enum(['tools', 'vision', 'audio', 'pdf', 'schema']);
export type Need = z.infer<typeof Need>;

/** Who asks: the key, and what it stands for. Ids and names, never the key itself. */
export const Principal = z.looseObject({
  keyId: z.string(),
  keyName: z.string(),
  team: z.string().nullable(),
  organisation: z.string().nullish(),
  /** Whom the key is for; a request may name somebody else, where the key's policy lets it. */
  user: z.string().nullish(),
  isAdmin: z.boolean().optional(),
  /** The parts of its routing that a request with this key may say; absent: all. */
  overrides: z.array(z.string()).optional(),
});
export type Principal = z.infer<typeof Principal>;

/**
 * One other attempt of the same request: what the router needs to know to choose otherwise. `code` says how it failed, or
 * is `HEDGED` for one that is still under way.
 */
export const Tried = z.looseObject({
  deployment: z.string(),
  worker: z.string(),
  code: z.string(),
  /** When the provider said to come back, if it did. */
  retryAfterMs: z.number().optional(),
});
export type Tried = z.infer<typeof Tried>;

export const HEDGED = 'hedged';

/** What of a prompt the strategy `complexity` looks at. Sent for routes of that strategy only, and kept by nobody. */
export const PromptSketch = z.looseObject({
  /** The end of the last message of the user, up to 16 KiB. */
  lastUser: z.string(),
  systemChars: z.number(),
  totalChars: z.number(),
  turns: z.number(),
  tools: z.number(),
  wantsSchema: z.boolean(),
});
export type PromptSketch = z.infer<typeof PromptSketch>;

/** A part of a route's policy that the request says anew: `PolicyOverrides` of the configuration, checked by the ingress. */
const Overrides = z.looseObject({
  strategy: z.string().optional(),
  regions: z.array(z.string()).readonly().optional(),
  onLimit: z.looseObject({ kind: z.string() }).optional(),
  fallbacks: z.array(z.string()).readonly().optional(),
});

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
  /** Estimated from the text; 0 when there is none to speak of. */
  inputTokens: z.number(),
  /** The most the client wants, if it says so. */
  maxOutputTokens: z.number().optional(),
  needs: z.array(Need).optional(),
  /** Absent: `interactive`. */
  lane: Lane.optional(),
  /** The named router it came through, whose routes and rules go first. */
  via: z.string().optional(),
  overrides: Overrides.optional(),
  sketch: PromptSketch.optional(),
  /** How long it has stood in the lines of routers that were lost. */
  waitedMs: z.number().optional(),
  /** How long it has stood in line before its earlier attempts: a route's patience counts all of it. */
  queuedMs: z.number().optional(),
  /** A hash of the conversation or user that the request names, for routes that keep those together. */
  affinity: z.string().optional(),
  /** The client has the beginning of the answer: only deployments that can go on from it may serve the rest. */
  continues: z.boolean().optional(),
  /** A hard budget pays for it: only deployments with a known price may serve it. */
  mustBePriced: z.boolean().optional(),
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
  /** Why this deployment: the strategy, or what went before it (`fallback`, `least_bad`, `hedge`, `downgrade`). */
  reason: z.string(),
  /** The part of a split route that this request belongs to. */
  variant: z.string().optional(),
  /** The route that serves it in place of the one it named, which is at its limit. */
  downgradedTo: z.string().optional(),
  /** A second attempt may begin when nothing has come after this long. */
  hedgeAfterMs: z.number().optional(),
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
