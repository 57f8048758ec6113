import type { Generated, Kysely } from 'kysely';

/** One attempt, as its first report told it (shared/messages/usage.ts). Append-only: a trigger refuses updates and deletes. */
export interface AttemptsTable {
  attempt_id: string;
  request_id: string;
  attempt: number;
  source: 'worker' | 'ingress';
  started_at: Date;
  key_id: string;
  key_name: string;
  team: string | null;
  model: string;
  route: string | null;
  /** Why this deployment was chosen; null: recorded before that was told. */
  reason: string | null;
  /** The part of a split route. */
  variant: string | null;
  /** null: interactive. */
  lane: string | null;
  deployment: string;
  provider: string;
  upstream_model: string;
  endpoint: string;
  is_stream: boolean;
  input_tokens: number;
  output_tokens: number;
  cached_input_tokens: number;
  reasoning_tokens: number;
  is_estimated: boolean;
  /** Nano-dollars; null: no price is known. */
  cost_nano_usd: bigint | null;
  queue_ms: number;
  ttft_ms: number | null;
  duration_ms: number;
  upstream_status: number | null;
  finish: string | null;
  error: string | null;
  worker: string;
  ingress: string;
  traceparent: string | null;
  recorded_at: Generated<Date>;
}

/** The keys that clients carry. The token itself is nowhere: only its hash is. */
export interface ApiKeysTable {
  id: string;
  /** Unique among the keys that are not revoked. */
  name: string;
  /** SHA-256 of the token, lower-case hex. */
  hash: string;
  /** The token's first characters, so that its owner recognizes it. */
  prefix: string;
  team: string | null;
  is_admin: boolean;
  /** What its requests may say of their own routing; null: all of it. */
  overrides: string[] | null;
  created_at: Generated<Date>;
  revoked_at: Date | null;
}

/** What came as a usage event and can never be recorded: kept for a human, out of the way of the others. */
export interface PoisonedEventsTable {
  /** SHA-256 of `event` as it came, hex: a redelivery is put aside once. */
  digest: string;
  /** As it came, without NUL characters and broken surrogates, which Postgres cannot hold. */
  event: string;
  /** Names fields and SQLSTATEs, never values. */
  reason: string;
  put_aside_at: Generated<Date>;
}

export interface Tables {
  attempts: AttemptsTable;
  api_keys: ApiKeysTable;
  poisoned_events: PoisonedEventsTable;
}

export type Database = Kysely<Tables>;
