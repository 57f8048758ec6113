import { z } from 'zod';

/** For whom, and against which leases, an attempt is charged: ingress → worker with the task, and on into the usage event. */
export const Account = z.looseObject({
  organisation: z.string().nullish(),
  user: z.string().nullish(),
  feature: z.string().nullish(),
  session: z.string().nullish(),
  tags: z.record(z.string(), z.string()).optional(),
  /** The id of the scope `model:` that it was admitted under; absent: the model as the client named it. */
  modelScope: z.string().nullish(),
  /** The route that it was admitted under (null: none), where a router has had another one serve it; absent: the one that did. */
  routeScope: z.string().nullish(),
  /** When it was reserved: the budgets' windows are those of this moment. */
  admittedEpochMs: z.number(),
  /** The most that this attempt may cost; absent: nothing was reserved. */
  reservedNanoUsd: z.number().optional(),
  /** The leases that was taken from; when it is recorded its cost is moved from leased to spent in each. */
  leases: z.array(z.string()).optional(),
});
export type Account = z.infer<typeof Account>;
