import { z } from 'zod';
import { Principal } from './envelope.ts';

/** ingress → ledger, request: whose key has this SHA-256 (hex)? */
export const KeyQuery = z.looseObject({ v: z.literal(1), hash: z.string().regex(/^[0-9a-f]{64}$/) });
export type KeyQuery = z.infer<typeof KeyQuery>;

export const ROLES = ['owner', 'admin', 'viewer', 'team_admin'] as const;
export type Role = (typeof ROLES)[number];

/** What a key may do; each field absent: no restriction, or the default. */
export const KeyPolicy = z.looseObject({
  /** Of the admin API; absent: a caller, who may use models and no more. */
  role: z.enum(ROLES).optional(),
  expiresEpochMs: z.number().optional(),
  routes: z.array(z.string()).optional(),
  /** Model names as a client sends them, or `provider/*`. */
  models: z.array(z.string()).optional(),
  regions: z.array(z.string()).optional(),
  /** Source networks, CIDR. */
  networks: z.array(z.string()).optional(),
  /** What its requests may say of themselves; absent: all of it. */
  mayName: z.array(z.enum(['user', 'feature', 'session', 'tags'])).optional(),
  /** Tags that each of its requests has; a request's own of the same name do not replace them. */
  tags: z.record(z.string(), z.string()).optional(),
  logPayloads: z.enum(['none', 'redacted', 'full']).optional(),
});
export type KeyPolicy = z.infer<typeof KeyPolicy>;

/** ledger → ingress: the principal, or null for a key that does not exist or was revoked. */
export const KeyAnswer = z.looseObject({
  v: z.literal(1),
  principal: Principal.nullable(),
  policy: KeyPolicy.optional(),
});
export type KeyAnswer = z.infer<typeof KeyAnswer>;

/** ledger, CLI → every ingress, core NATS: forget what you know of this key. A lost message costs one cache lifetime. */
export const KeyChanged = z.looseObject({ v: z.literal(1), hash: z.string() });
export type KeyChanged = z.infer<typeof KeyChanged>;
