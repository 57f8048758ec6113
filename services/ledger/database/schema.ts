import type { ColumnType, Generated, JSONColumnType, Kysely } from 'kysely';
import type { OnBudgetEnd } from '../../../shared/messages/rules.ts';
import type { GroupColumn } from '../core/cubes.ts';
import type { Counter } from '../core/roll-up.ts';
import type { Role } from '../../../shared/messages/key.ts';

/** In `AttemptsTable.route_scope`: it was admitted under no route. */
export const NO_ROUTE = '';

/** One attempt, as its first report told it (shared/messages/usage.ts). Append-only: a trigger refuses updates and deletes. */
export interface AttemptsTable {
  attempt_id: string;
  request_id: string;
  attempt: number;
  source: 'worker' | 'ingress' | 'reaper';
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
  organisation: string | null;
  user_id: string | null;
  feature: string | null;
  session: string | null;
  tags: Record<string, string> | null;
  /** Decides the windows of budgets. null: `started_at`; recorded before there were budgets. */
  charged_at: Date | null;
  reserved_nano_usd: bigint | null;
  leases: string[] | null;
  /** Nano-dollars per million tokens: input, cached input, output, reasoning output. */
  rates: bigint[] | null;
  cache_hit: boolean | null;
  earlier: Array<{ deployment: string; code: string }> | null;
  guardrails: Record<string, string> | null;
  /** The id of the scope `model:` that it was admitted under; null: `model`. */
  model_scope: string | null;
  /** The id of the scope `route:` that it was admitted under; null: `route`; empty: none. */
  route_scope: string | null;
  recorded_at: Generated<Date>;
}

/** A change of what an attempt has cost, made later. Append-only. */
export interface CorrectionsTable {
  id: Generated<bigint>;
  attempt_id: string;
  /** Added to what it has cost so far; may be negative. */
  amount_nano_usd: bigint;
  /** It had no known price before. */
  is_first_price: boolean;
  /** As `AttemptsTable.rates`. */
  rates: bigint[];
  reason: string;
  corrected_by: string;
  corrected_at: Generated<Date>;
}

/** What `usage_hourly` and `usage_daily` sum (rollups.ts): one row for each combination of values. */
export interface UsageGroupsTable extends Record<GroupColumn, string | null> {
  id: string;
  /** Of core/cubes.ts: a cube, or the groups of `usage_user_costs`. */
  cube: number;
}

/** Sums of one group. Besides these it has histograms of powers of two (core/histogram.ts). */
interface RollupTable extends Record<Counter, bigint> {
  cube: number;
  group_id: string;
  cost_nano_usd: bigint;
}

/** Of the attempts that began in an hour. */
export interface UsageHourlyTable extends RollupTable {
  hour: Date;
}

/** Of the attempts that began on a day (UTC). */
export interface UsageDailyTable extends RollupTable {
  day: Date;
}

/** Of the attempts of four days (UTC), counted from the epoch on; of some cubes (core/cubes.ts). */
export interface UsageFourDaysTable extends RollupTable {
  starts_on: Date;
}

/** What users cost, by four days (core/roll-up.ts): to find the dearest by. */
export interface UsageUserCostsTable {
  starts_on: Date;
  group_id: string;
  attempts: bigint;
  cost_nano_usd: bigint;
}

/** From when on rows are complete: what was before has been dropped. No row: nothing has. */
export interface RetentionMarksTable {
  kept: 'attempts' | 'rollups_hourly' | 'rollups_daily';
  since: Date;
}

/** The keys that clients carry. The token itself is nowhere: only its hash is. */
export interface ApiKeysTable {
  id: string;
  /** Unique among the keys that are not revoked. */
  name: string;
  /** Of the token, lower-case hex: an HMAC of its SHA-256, or of an older release the SHA-256 itself (`hash_kind`). */
  hash: string;
  /** The token's first characters, so that its owner recognizes it. */
  prefix: string;
  team: string | null;
  is_admin: boolean;
  /** What its requests may say of their own routing; null: all of it. */
  overrides: string[] | null;
  created_at: Generated<Date>;
  revoked_at: Date | null;
  user_id: Generated<string | null>;
  organisation: Generated<string | null>;
  /** Of the admin API; null: a caller. */
  role: Generated<Role | null>;
  expires_at: Generated<Date | null>;
  blocked_at: Generated<Date | null>;
  /** What it may use, and from where; null: anything, anywhere. */
  routes: Generated<string[] | null>;
  models: Generated<string[] | null>;
  regions: Generated<string[] | null>;
  networks: Generated<string[] | null>;
  /** What its requests may say of themselves; null: all of it. */
  may_name: Generated<string[] | null>;
  tags: Tags;
  log_payloads: Generated<'none' | 'redacted' | 'full'>;
  /** Of the token before the last rotation, good until `old_hash_until`; an HMAC always. */
  old_hash: Generated<string | null>;
  old_hash_until: Generated<Date | null>;
  hash_kind: Generated<'sha256' | 'hmac'>;
  version: Generated<bigint>;
  updated_at: Generated<Date>;
}

type Tags = ColumnType<Record<string, string>, string | undefined, string>;

/** A row of its own for each that usage is told by; `version` is its ETag. */
interface PrincipalTable {
  /** Chosen by the user, and a scope's id: `search`. */
  id: string;
  name: string;
  tags: Tags;
  version: Generated<bigint>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

export type OrganisationsTable = PrincipalTable;

export interface TeamsTable extends PrincipalTable {
  organisation: string | null;
}

export interface UsersTable extends PrincipalTable {
  team: string | null;
  email: string | null;
  /** The issuer and the subject of its tokens (OIDC), one text. */
  subject: string | null;
}

/** One row: raised with every change of a key or a rule. */
export interface RevisionsTable {
  is_only: Generated<boolean>;
  revision: bigint;
}

export interface LimitsTable {
  id: string;
  /** Of shared/scope.ts; may be a pattern. */
  scope: string;
  requests_per_minute: bigint | null;
  tokens_per_minute: bigint | null;
  cost_nano_usd: bigint | null;
  cost_window_ms: bigint | null;
  concurrent: bigint | null;
  burst: bigint | null;
  version: Generated<bigint>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

/** The kill switch: nobody of these scopes is served. */
export interface BlocksTable {
  scope: string;
  reason: string;
  blocked_by: string;
  blocked_at: Generated<Date>;
}

export interface BudgetsTable {
  id: string;
  name: string;
  /** Of shared/scope.ts; a pattern is a budget for each apart. */
  scope: string;
  amount_nano_usd: bigint;
  per: 'day' | 'week' | 'month' | 'rolling' | 'total';
  rolling_ms: bigint | null;
  /** IANA name; decides when days, weeks (from Monday) and months begin. */
  time_zone: Generated<string>;
  is_hard: Generated<boolean>;
  on_limit: JSONColumnType<OnBudgetEnd, string | undefined, string>;
  /** Percent of the amount. */
  alert_at: Generated<number[]>;
  raised_by_nano_usd: Generated<bigint>;
  raised_until: Generated<Date | null>;
  is_configured: Generated<boolean>;
  is_live: Generated<boolean>;
  version: Generated<bigint>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

/** Always `spent + leased <= limit + excess`: a CHECK. */
export interface BudgetWindowsTable {
  budget_id: string;
  /** The scope itself, also where the budget is for a pattern. */
  subject: string;
  starts_at: Date | number;
  ends_at: Date | number;
  limit_nano_usd: bigint;
  spent_nano_usd: Generated<bigint>;
  leased_nano_usd: Generated<bigint>;
  excess_nano_usd: Generated<bigint>;
}

/** Read and deleted within a second. */
export interface BudgetCrossingsTable {
  id: Generated<bigint>;
  subject: string;
}

/** Of rolling budgets. */
export interface BudgetPartsTable {
  budget_id: string;
  subject: string;
  starts_at: Date;
  spent_nano_usd: bigint;
}

export interface BudgetLeasesTable {
  id: string;
  budget_id: string;
  subject: string;
  starts_at: Date | number;
  ingress: string;
  amount_nano_usd: bigint;
  settled_nano_usd: Generated<bigint>;
  is_closed: Generated<boolean>;
  granted_at: Generated<Date>;
  expires_at: Date;
}

export interface BudgetAlertsTable {
  budget_id: string;
  subject: string;
  starts_at: Date | number;
  percent: number;
  spent_nano_usd: bigint;
  limit_nano_usd: bigint;
  raised_at: Generated<Date>;
  deliveries: Generated<number>;
  next_delivery_at: Date | null;
  delivered_at: Date | null;
  /** The webhooks that have taken it, by their URL's SHA-256: it goes to the others only. */
  delivered_to: Generated<string[]>;
}

/** Append-only; `hash` is over the record and `previous_hash`. */
export interface AuditRecordsTable {
  sequence: bigint;
  at: Date;
  actor: string;
  actor_role: string;
  origin: string;
  action: string;
  entity: string;
  entity_id: string;
  before: JSONColumnType<Record<string, unknown>, string | null, never> | null;
  after: JSONColumnType<Record<string, unknown>, string | null, never> | null;
  request_id: string | null;
  previous_hash: string;
  hash: string;
}

export interface IdempotentAnswersTable {
  actor: string;
  key: string;
  request_hash: string;
  status: number;
  headers: JSONColumnType<Record<string, string>, string, string>;
  body: JSONColumnType<object, string | null, string | null> | null;
  answered_at: Generated<Date>;
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

/** One row: tells whether a secret is the one that the keys are kept under. */
export interface KeySecretTable {
  is_only: Generated<boolean>;
  fingerprint: string;
  claimed_at: Generated<Date>;
}

export interface Tables {
  attempts: AttemptsTable;
  corrections: CorrectionsTable;
  usage_groups: UsageGroupsTable;
  usage_hourly: UsageHourlyTable;
  usage_daily: UsageDailyTable;
  usage_four_days: UsageFourDaysTable;
  usage_user_costs: UsageUserCostsTable;
  retention_marks: RetentionMarksTable;
  api_keys: ApiKeysTable;
  poisoned_events: PoisonedEventsTable;
  organisations: OrganisationsTable;
  teams: TeamsTable;
  users: UsersTable;
  revisions: RevisionsTable;
  key_secret: KeySecretTable;
  limits: LimitsTable;
  blocks: BlocksTable;
  budgets: BudgetsTable;
  budget_windows: BudgetWindowsTable;
  budget_parts: BudgetPartsTable;
  budget_crossings: BudgetCrossingsTable;
  budget_leases: BudgetLeasesTable;
  budget_alerts: BudgetAlertsTable;
  audit_records: AuditRecordsTable;
  idempotent_answers: IdempotentAnswersTable;
}

export type Database = Kysely<Tables>;
