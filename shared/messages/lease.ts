import { z } from 'zod';

/**
 * Leases of budgets. A lease is a slice of one window of a budget for one scope (a pattern has a budget for each scope
 * apart): granted by the ledger, committed before the grant, and reserved from by one ingress in memory. What is granted
 * is never promised twice: `spent + leased <= limit`. What an event costs is moved from `leased` to `spent` when the
 * ledger records it. Amounts are nano-dollars below 2^53.
 */

/** ingress → ledger, request: all of these, or none. Sorted by budget, then subject: the one order in which rows are locked. */
export const LeaseAsk = z.looseObject({
  v: z.literal(1),
  ingress: z.string(),
  items: z
    .array(
      z.looseObject({
        budget: z.string(),
        /** The scope itself, never a pattern. */
        subject: z.string(),
        /** Less than this is no use. */
        need: z.number(),
        /** What would last for a while; the ledger gives less as the budget runs out. */
        want: z.number(),
      }),
    )
    .max(64),
});
export type LeaseAsk = z.infer<typeof LeaseAsk>;

export const LeaseGrant = z.looseObject({
  lease: z.string(),
  budget: z.string(),
  subject: z.string(),
  amountNanoUsd: z.number(),
  /** From the receipt on; the asker counts from the moment it asked. */
  ttlMs: z.number(),
  /** The window ends in this long; a lease is for reservations within its window. absent: it never ends. */
  windowEndsInMs: z.number().optional(),
});
export type LeaseGrant = z.infer<typeof LeaseGrant>;

/** ledger → ingress. Refused: the first budget that has too little left. */
export const LeaseAnswer = z.looseObject({
  v: z.literal(1),
  grants: z.array(LeaseGrant),
  refused: z
    .looseObject({
      budget: z.string(),
      subject: z.string(),
      name: z.string(),
      limitNanoUsd: z.number(),
      spentNanoUsd: z.number(),
      /** Reserved, or ready to be: what was used of it is not recorded yet. Absent: nobody says. */
      leasedNanoUsd: z.number().optional(),
      /** When its window turns; absent: never. */
      renewsEpochMs: z.number().optional(),
      /** Other ingresses that hold a part of it, and may have no use for all of it: a recall makes them give it back. */
      holders: z.array(z.string()),
      /** Nobody keeps this budget any more: forget its rules. */
      isGone: z.boolean().optional(),
    })
    .optional(),
});
export type LeaseAnswer = z.infer<typeof LeaseAnswer>;

/**
 * ingress → ledger, request, every few seconds and whenever a lease is given back: how its leases stand. `keep` is what the
 * ingress still holds it to: consumed and reserved so far, and what it wants to keep; never more than was granted. With
 * `isClosed` it reserves nothing from it any more, and what was consumed is settled by the events: what they have not
 * settled when the lease expires returns to the budget. So a lease is reported for as long as something is reserved from it.
 */
export const LeaseReport = z.looseObject({
  v: z.literal(1),
  ingress: z.string(),
  leases: z.array(z.looseObject({ lease: z.string(), keep: z.number(), isClosed: z.boolean() })).max(4_096),
});
export type LeaseReport = z.infer<typeof LeaseReport>;

/** ledger → ingress: committed. `lost`: leases that are no longer there; nothing may be reserved from them. */
export const LeaseReportAnswer = z.looseObject({ v: z.literal(1), lost: z.array(z.string()), ttlMs: z.number() });
export type LeaseReportAnswer = z.infer<typeof LeaseReportAnswer>;

/** ingress → every ingress, with a reply: give back what you do not need of this. Answered (`ingress`) once that is committed. */
export const LeaseRecall = z.looseObject({ v: z.literal(1), by: z.string(), budget: z.string(), subject: z.string() });
export type LeaseRecall = z.infer<typeof LeaseRecall>;
export const LeaseRecalled = z.looseObject({ v: z.literal(1), ingress: z.string() });
export type LeaseRecalled = z.infer<typeof LeaseRecalled>;
