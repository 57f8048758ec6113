import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { INTERACTIVE } from '../core/cubes.ts';
import type { UsageFilter } from '../core/usage-query.ts';
import type { AttemptsTable, Tables } from '../database/schema.ts';
import { NO_ROUTE } from '../database/schema.ts';
import { conditions, CORRECTED, COST, within } from './usage-sums.ts';

/** One row of the account, as reports and exports tell it. */
export interface AccountedAttempt {
  readonly attemptId: string;
  readonly requestId: string;
  readonly attempt: number;
  readonly source: 'worker' | 'ingress' | 'reaper';
  readonly startedEpochMs: number;
  /** Decides the windows of budgets. */
  readonly chargedEpochMs: number;
  readonly organisation: string | null;
  readonly team: string | null;
  readonly user: string | null;
  readonly keyId: string;
  readonly keyName: string;
  readonly feature: string | null;
  readonly session: string | null;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly model: string;
  readonly route: string | null;
  /** The scopes `model:` and `route:` that it was admitted under, whose budgets pay for it; null: no route's. */
  readonly modelScope: string;
  readonly routeScope: string | null;
  readonly deployment: string;
  readonly provider: string;
  readonly upstreamModel: string;
  readonly endpoint: string;
  /** Why this deployment; null: recorded before that was told. */
  readonly reason: string | null;
  readonly variant: string | null;
  readonly lane: string;
  readonly isStream: boolean;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly isEstimated: boolean;
  /** With all corrections. null: no price is known. */
  readonly costNanoUsd: bigint | null;
  /** Of that, added by corrections. */
  readonly correctionNanoUsd: bigint;
  readonly reservedNanoUsd: bigint | null;
  /** Nano-dollars per million tokens, as charged at first: input, cached input, output, reasoning output. */
  readonly rates: readonly bigint[] | null;
  readonly cacheHit: boolean | null;
  readonly queueMs: number;
  readonly ttftMs: number | null;
  readonly durationMs: number;
  readonly upstreamStatus: number | null;
  readonly finish: string | null;
  /** null: it succeeded. */
  readonly error: string | null;
  /** Attempts of the same request that failed before it. */
  readonly earlier: ReadonlyArray<{ readonly deployment: string; readonly code: string }> | null;
  readonly guardrails: Readonly<Record<string, string>> | null;
  readonly worker: string;
  readonly ingress: string;
  readonly traceparent: string | null;
}

/** A place in the account: everything before it has been read. */
export interface AttemptCursor {
  readonly startedEpochMs: number;
  readonly attemptId: string;
}

export interface AttemptPage {
  readonly attempts: AccountedAttempt[];
  /** undefined: that was the last page. */
  readonly next: AttemptCursor | undefined;
}

export interface ExportQuery {
  readonly filter: UsageFilter;
  /** Of the page before; undefined: from the beginning. */
  readonly after?: AttemptCursor | undefined;
  readonly limit: number;
}

const MAX_ROWS = 10_000;

/** The last attempts that match, newest first; at most 10 000. */
export async function recentAttempts(
  db: Kysely<Tables>,
  limit: number,
  filter: UsageFilter = {},
): Promise<AccountedAttempt[]> {
  const { rows } = await sql<CorrectedRow>`
    select attempts.*, corrected.amount as correction, ${COST} as cost from ${CORRECTED} where ${matching(filter)}
    order by started_at desc, attempt_id desc limit ${Math.min(limit, MAX_ROWS)}`.execute(db);
  return rows.map(accountedAttempt);
}

/**
 * A page of the attempts that match, oldest first, each once: attempts that are recorded meanwhile move no others. At most
 * 10 000.
 */
export async function exportAttempts(db: Kysely<Tables>, { filter, after, limit }: ExportQuery): Promise<AttemptPage> {
  const size = Math.min(limit, MAX_ROWS);
  const isAfter =
    after === undefined
      ? sql`true`
      : sql`(started_at, attempts.attempt_id) > (${new Date(after.startedEpochMs)}, ${after.attemptId})`;
  const { rows } = await sql<CorrectedRow>`
    select attempts.*, corrected.amount as correction, ${COST} as cost from ${CORRECTED}
    where ${matching(filter)} and ${isAfter}
    order by started_at, attempt_id limit ${size}`.execute(db);
  const attempts = rows.map(accountedAttempt);
  const last = attempts.at(-1);
  return { attempts, next: attempts.length < size ? undefined : last };
}

function matching(filter: UsageFilter): ReturnType<typeof sql> {
  const { sinceEpochMs: fromMs = -Infinity, untilEpochMs: toMs = Infinity } = filter;
  return sql`${within(sql`started_at`, { fromMs, toMs })} and ${conditions(filter, [], 'attempts')}`;
}

type CorrectedRow = Omit<AttemptsTable, 'recorded_at'> & {
  readonly correction: bigint | null;
  readonly cost: bigint | null;
};

function accountedAttempt(row: CorrectedRow): AccountedAttempt {
  return {
    attemptId: row.attempt_id,
    requestId: row.request_id,
    attempt: row.attempt,
    source: row.source,
    startedEpochMs: row.started_at.getTime(),
    chargedEpochMs: (row.charged_at ?? row.started_at).getTime(),
    organisation: row.organisation,
    team: row.team,
    user: row.user_id,
    keyId: row.key_id,
    keyName: row.key_name,
    feature: row.feature,
    session: row.session,
    tags: row.tags,
    model: row.model,
    route: row.route,
    modelScope: row.model_scope ?? row.model,
    routeScope: row.route_scope === NO_ROUTE ? null : (row.route_scope ?? row.route),
    deployment: row.deployment,
    provider: row.provider,
    upstreamModel: row.upstream_model,
    endpoint: row.endpoint,
    reason: row.reason,
    variant: row.variant,
    lane: row.lane ?? INTERACTIVE,
    isStream: row.is_stream,
    inputTokens: row.input_tokens,
    cachedInputTokens: row.cached_input_tokens,
    outputTokens: row.output_tokens,
    reasoningTokens: row.reasoning_tokens,
    isEstimated: row.is_estimated,
    costNanoUsd: row.cost,
    correctionNanoUsd: row.correction ?? 0n,
    reservedNanoUsd: row.reserved_nano_usd,
    rates: row.rates?.map(BigInt) ?? null,
    cacheHit: row.cache_hit,
    queueMs: row.queue_ms,
    ttftMs: row.ttft_ms,
    durationMs: row.duration_ms,
    upstreamStatus: row.upstream_status,
    finish: row.finish,
    error: row.error,
    earlier: row.earlier,
    guardrails: row.guardrails,
    worker: row.worker,
    ingress: row.ingress,
    traceparent: row.traceparent,
  };
}
