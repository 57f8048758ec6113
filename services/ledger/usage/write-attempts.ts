import { formatDollars } from '../../../shared/money.ts';
import type { AccountedAttempt } from './list-attempts.ts';

export const EXPORT_FORMATS = ['csv', 'jsonl'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

type Value = string | number | boolean | bigint | object | null;

/** Columns of an export, in this order. Money as decimal text: no reader's float gets to round it. */
const COLUMNS: Readonly<Record<string, (attempt: AccountedAttempt) => Value>> = {
  attempt_id: ({ attemptId }) => attemptId,
  request_id: ({ requestId }) => requestId,
  attempt: ({ attempt }) => attempt,
  source: ({ source }) => source,
  started_at: ({ startedEpochMs }) => new Date(startedEpochMs).toISOString(),
  organisation: ({ organisation }) => organisation,
  team: ({ team }) => team,
  user: ({ user }) => user,
  key_id: ({ keyId }) => keyId,
  key_name: ({ keyName }) => keyName,
  feature: ({ feature }) => feature,
  session: ({ session }) => session,
  tags: ({ tags }) => tags,
  model: ({ model }) => model,
  route: ({ route }) => route,
  deployment: ({ deployment }) => deployment,
  provider: ({ provider }) => provider,
  upstream_model: ({ upstreamModel }) => upstreamModel,
  endpoint: ({ endpoint }) => endpoint,
  reason: ({ reason }) => reason,
  variant: ({ variant }) => variant,
  lane: ({ lane }) => lane,
  is_stream: ({ isStream }) => isStream,
  input_tokens: ({ inputTokens }) => inputTokens,
  cached_input_tokens: ({ cachedInputTokens }) => cachedInputTokens,
  output_tokens: ({ outputTokens }) => outputTokens,
  reasoning_tokens: ({ reasoningTokens }) => reasoningTokens,
  is_estimated: ({ isEstimated }) => isEstimated,
  cost_usd: ({ costNanoUsd }) => dollars(costNanoUsd),
  correction_usd: ({ correctionNanoUsd }) => dollars(correctionNanoUsd),
  reserved_usd: ({ reservedNanoUsd }) => dollars(reservedNanoUsd),
  rates_usd_per_million: ({ rates }) => rates?.map(dollars) ?? null,
  cache_hit: ({ cacheHit }) => cacheHit,
  queue_ms: ({ queueMs }) => queueMs,
  ttft_ms: ({ ttftMs }) => ttftMs,
  duration_ms: ({ durationMs }) => durationMs,
  upstream_status: ({ upstreamStatus }) => upstreamStatus,
  finish: ({ finish }) => finish,
  error: ({ error }) => error,
  earlier: ({ earlier }) => earlier,
  guardrails: ({ guardrails }) => guardrails,
  traceparent: ({ traceparent }) => traceparent,
};
const columns = Object.entries(COLUMNS);

/** What stands before the first attempt; `''` for a format that has no head. */
export function exportHead(format: ExportFormat): string {
  return format === 'csv' ? csvRecord(Object.keys(COLUMNS)) : '';
}

/** Attempts as lines, the last one ended too. */
export function exportLines(format: ExportFormat, attempts: readonly AccountedAttempt[]): string {
  const lineOf = format === 'csv' ? csvLine : jsonLine;
  return attempts.map(lineOf).join('');
}

function csvLine(attempt: AccountedAttempt): string {
  return csvRecord(columns.map(([, read]) => cellOf(read(attempt))));
}

function jsonLine(attempt: AccountedAttempt): string {
  return `${JSON.stringify(Object.fromEntries(columns.map(([name, read]) => [name, read(attempt)])))}\n`;
}

/** Nothing for null; lists and maps as JSON. */
function cellOf(value: Value): string {
  if (value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** RFC 4180: CRLF, and quotes around what has a comma, a quote or a line break in it; quotes doubled. */
export function csvRecord(cells: readonly string[]): string {
  const quoted = cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(',')}\r\n`;
}

function dollars(nano: bigint | null): string | null {
  return nano === null ? null : formatDollars(nano);
}
