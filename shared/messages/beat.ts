import { z } from 'zod';

/** How often every instance says that it lives. */
export const BEAT_EVERY_MS = 250;
/** An instance silent for this long is dead to its peers (three beats and a little). */
export const SILENT_AFTER_MS = 900;

/**
 * Which connection to the broker this is, counted by who beats. When it grows, what was on its way from or to that
 * instance may be lost, the last frame of an answer too, after which no gap would tell: whoever waits asks anew.
 */
const connection = z.int().nonnegative().optional();

/**
 * How one deployment does at one worker. Durations are from the beat on: clocks of two machines are never compared. A
 * deployment that is used by nobody and well is not reported.
 */
export const DeploymentReport = z.looseObject({
  deployment: z.string(),
  inFlight: z.number(),
  breaker: z.enum(['closed', 'open', 'half_open']),
  /** While open or half-open: when a probe may begin. Absent: one is under way, or none may. */
  probeInMs: z.number().optional(),
  /** The provider said to come back later (429), or a limit that all workers share is used up until then. */
  throttledMs: z.number().optional(),
  /** Requests and tokens that fit now, and how many more each minute; absent without a limit. */
  requests: z.looseObject({ room: z.number(), perMinute: z.number() }).optional(),
  tokens: z.looseObject({ room: z.number(), perMinute: z.number() }).optional(),
  /** After a 429: how many requests each router, by its id, may place until the next report; none where it is not named. */
  starts: z.record(z.string(), z.number()).optional(),
  /** PeakEWMA (decay 10 s) of the time to the first token of streams, and of the whole of plain answers. */
  ttftMs: z.number().optional(),
  totalMs: z.number().optional(),
  /** p95 of the time to first token over the last minute. */
  p95Ms: z.number().optional(),
  /** Share of the calls in the breaker's window that failed. */
  failureRatio: z.number().optional(),
  /** The active health check's last word: null when it passed. Absent without one. */
  checkFailed: z.string().nullable().optional(),
});
export type DeploymentReport = z.infer<typeof DeploymentReport>;

/** worker → routers and ingresses, core NATS, each `BEAT_EVERY_MS`, and at once on a new connection or a breaker's change. */
export const WorkerBeat = z.looseObject({
  v: z.literal(1),
  worker: z.string(),
  isDraining: z.boolean(),
  connection,
  pools: z.array(z.looseObject({ pool: z.string(), capacity: z.int().nonnegative(), inFlight: z.int().nonnegative() })),
  deployments: z.array(DeploymentReport),
});
export type WorkerBeat = z.infer<typeof WorkerBeat>;

/** router → workers and ingresses, core NATS, each `BEAT_EVERY_MS`, and at once on a new connection. */
export const RouterBeat = z.looseObject({
  v: z.literal(1),
  router: z.string(),
  isDraining: z.boolean(),
  connection,
  /** Per worker and pool: slots 1..`spent` were promised or given back; what a worker never saw used, it takes back. */
  spent: z.array(z.looseObject({ worker: z.string(), pool: z.string(), spent: z.int().nonnegative() })),
  /** Requests that wait here, per pool. */
  waiting: z.record(z.string(), z.int().nonnegative()),
});
export type RouterBeat = z.infer<typeof RouterBeat>;

/** ledger → ingresses, core NATS, each `BEAT_EVERY_MS`: `postgres` is null when it answers, else why not. */
export const LedgerBeat = z.looseObject({
  v: z.literal(1),
  ledger: z.string(),
  postgres: z.string().nullable(),
  backlog: z.int().nonnegative(),
  /** Of keys and rules (messages/rules.ts); absent while Postgres is away. */
  revision: z.number().optional(),
});
export type LedgerBeat = z.infer<typeof LedgerBeat>;
