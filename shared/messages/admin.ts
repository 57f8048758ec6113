import { z } from 'zod';

/** Who asks for something of the admin API, as the ingress that knows the key says. */
export const AdminActor = z.looseObject({
  /** The key's id: `key_…`, `config:…`, `jwt:…`; of a command on the database itself `cli`. */
  keyId: z.string(),
  user: z.string().nullable(),
  /** One of `ROLES`; null: a caller, who may use models and no more. */
  role: z.string().nullable(),
  team: z.string().nullable(),
  /** The address that the request came from. */
  origin: z.string(),
});
export type AdminActor = z.infer<typeof AdminActor>;

/**
 * ingress → ledger, request: one HTTP request to `/admin/v1`. What the client made unique by an `Idempotency-Key` is done
 * once however often it comes; anything else, when the answer is lost, may have been done.
 */
export const AdminQuestion = z.looseObject({
  v: z.literal(1),
  requestId: z.string(),
  method: z.string(),
  /** Below `/admin/v1`, percent-encoded as it came. */
  path: z.string(),
  /** Without the question mark, as it came. */
  query: z.string(),
  ifMatch: z.string().optional(),
  ifNoneMatch: z.string().optional(),
  idempotencyKey: z.string().optional(),
  /** The JSON text as it came; absent: none. */
  body: z.string().optional(),
  actor: AdminActor,
});
export type AdminQuestion = z.infer<typeof AdminQuestion>;

/** ledger → ingress: the answer as it goes to the client. */
export const AdminAnswer = z.looseObject({
  v: z.literal(1),
  status: z.number(),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
  /** There is more: the same question with this as its `after` has the part that follows (of an export, which is one answer). */
  next: z.string().optional(),
});
export type AdminAnswer = z.infer<typeof AdminAnswer>;
