import { z } from 'zod';
import { Principal } from './envelope.ts';

/** ingress → ledger, request: whose key has this SHA-256 (hex)? */
export const KeyQuery = z.looseObject({ v: z.literal(1), hash: z.string().regex(/^[0-9a-f]{64}$/) });
export type KeyQuery = z.infer<typeof KeyQuery>;

/** ledger → ingress: the principal, or null for a key that does not exist or was revoked. */
export const KeyAnswer = z.looseObject({ v: z.literal(1), principal: Principal.nullable() });
export type KeyAnswer = z.infer<typeof KeyAnswer>;

/** ledger, CLI → every ingress, core NATS: forget what you know of this key. A lost message costs one cache lifetime. */
export const KeyChanged = z.looseObject({ v: z.literal(1), hash: z.string() });
export type KeyChanged = z.infer<typeof KeyChanged>;
