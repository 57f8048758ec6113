import { z } from 'zod';

/**
 * What an operator has forced on a deployment: `drained` takes no new requests; `disabled` ends those under way too. Kept
 * in the key-value bucket `SLUICE_FORCED` under the deployment's name, where routers, workers and ingresses watch it;
 * `enabled` takes the entry away.
 */
export const ForcedState = z.looseObject({
  v: z.literal(1),
  deployment: z.string(),
  state: z.enum(['drained', 'disabled']),
  atEpochMs: z.number(),
  /** Why, in the operator's words. */
  note: z.string().optional(),
});
export type ForcedState = z.infer<typeof ForcedState>;
