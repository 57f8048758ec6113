import { z } from 'zod';

/**
 * Slots are a worker's room for attempts. A worker issues each slot to one router, numbered upward for each
 * (worker, pool, router), and a router promises it to one request. All counters are cumulative, as in TCP, so a lost
 * message is mended by the next one.
 */

/** worker → router: slots up to `issued` are or were yours, `outstanding` of them unused. Sent when it grows, and with each heartbeat. */
export const SlotsIssued = z.looseObject({
  v: z.literal(1),
  worker: z.string(),
  pool: z.string(),
  issued: z.number(),
  outstanding: z.number(),
  /** This worker's room in the pool. */
  capacity: z.number(),
});
export type SlotsIssued = z.infer<typeof SlotsIssued>;

/** router → all workers of a pool: requests wait at this router. Answered by `SlotsIssued` as slots come free. */
export const SlotsWanted = z.looseObject({
  v: z.literal(1),
  router: z.string(),
  pool: z.string(),
  waiting: z.number(),
});
export type SlotsWanted = z.infer<typeof SlotsWanted>;

/** worker → router: somebody waits elsewhere; give back up to `count` slots that you have not promised. */
export const SlotsRecalled = z.looseObject({
  v: z.literal(1),
  worker: z.string(),
  pool: z.string(),
  count: z.number(),
});
export type SlotsRecalled = z.infer<typeof SlotsRecalled>;

/** How long an ingress may keep slots that a router promised it ahead; much shorter than what a worker takes for lost. */
export const AHEAD_FOR_MS = 250;

/** router → ingress: requests wait for this pool; give what you hold of it ahead back to its workers. */
export const AheadRecalled = z.looseObject({ v: z.literal(1), router: z.string(), pool: z.string() });
export type AheadRecalled = z.infer<typeof AheadRecalled>;

/**
 * router → worker, ingress → worker: the slots `from`..`to` (inclusive; none when `to` < `from`) of this router are
 * yours again: recalled, or promised to an ingress that will not use them.
 */
export const SlotsReturned = z.looseObject({
  v: z.literal(1),
  router: z.string(),
  pool: z.string(),
  from: z.number(),
  to: z.number(),
});
export type SlotsReturned = z.infer<typeof SlotsReturned>;
