import { z } from 'zod';
import { TaskHead } from './task.ts';

/**
 * worker → JetStream, before the provider is called: this attempt begins. Nobody reads it but when its worker is dead: then
 * the ledger closes what has no end in the account (services/ledger/recording/reap-attempts.ts).
 */
export const OpenAttempt = z.looseObject({
  startedEpochMs: z.number(),
  ingress: z.string(),
  task: TaskHead,
});
export type OpenAttempt = z.infer<typeof OpenAttempt>;

/** One message: what began in one turn, or everything that is under way. */
export const OpenAttempts = z.array(z.unknown()).max(10_000);
