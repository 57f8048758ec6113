import { z } from 'zod';
import { Principal } from './envelope.ts';

/** ingress → ledger, request: whose key has this SHA-256 (hex)? */
export const KeyQuery = z.looseObject({ v: z.literal(1), hash: z.string().regex(/^[0-9a-f]{64}$/) });
export type KeyQuery = z.infer<typeof KeyQuery>;

export const ROLES = ['owner', 'admin', 'viewer', 'team_admin'] as const;
export type Role = (typeof ROLES)[number];

/** What requests say of themselves. */
export const MAY_NAME = ['user', 'feature', 'session', 'tags'] as const;

/** What a key may do; each field absent: no restriction, or the default. */
export const KeyPolicy = z.looseObject({
  /** Of the admin API; absent: a caller, who may use models and no more. */
  role: z.enum(ROLES).optional(),
  /** Of the token that was asked about: an old one ends before its key does. */
  expiresEpochMs: z.number().optional(),
  /** Switched off by an operator, until it is switched on again. */
  isBlocked: z.boolean().optional(),
  /** As soon as routes or models are named, only these may be asked for. Model names as a client sends them, or `provider/*`. */
  routes: z.array(z.string()).optional(),
  models: z.array(z.string()).optional(),
  regions: z.array(z.string()).optional(),
  /** Source networks, CIDR. */
  networks: z.array(z.string()).optional(),
  /** What its requests may say of themselves; absent: all of it. */
  mayName: z.array(z.enum(MAY_NAME)).optional(),
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
