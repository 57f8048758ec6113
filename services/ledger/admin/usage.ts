import type { USAGE_OPERATIONS, UsageRow as RowShown } from '../../../shared/admin/usage.ts';
import { formatAmount, formatDollars, parseUsd } from '../../../shared/money.ts';
import type { Price } from '../../../shared/pricing.ts';
import type { Reach } from '../core/reach.ts';
import { actorName } from '../core/reach.ts';
import type { UsageDimension, UsageFilter } from '../core/usage-query.ts';
import { parseDimension } from '../core/usage-query.ts';
import { reRatePage } from '../usage/corrections.ts';
import type { AccountedAttempt, AttemptCursor } from '../usage/list-attempts.ts';
import { exportAttempts } from '../usage/list-attempts.ts';
import type { UsageRow } from '../usage/usage-report.ts';
import { reportUsage } from '../usage/usage-report.ts';
import type { ExportFormat } from '../usage/write-attempts.ts';
import { exportHead, exportLines } from '../usage/write-attempts.ts';
import type { Call, Handlers } from './handler.ts';
import { InvalidFields } from './invalid-fields.ts';
import { cursorOf, readCursor } from './page.ts';
import { refuseForeignTeam } from './principals.ts';

type Operations = typeof USAGE_OPERATIONS;

export const USAGE_HANDLERS: Handlers<Operations> = {
  getUsage: async (db, { query, reach }) => {
    const { by, every, top, limit } = query;
    const filter = filterOf(query, reach);
    const groupBy = [...dimensionsOf(by), ...(every === undefined ? [] : [every])];
    const [rows, [total]] = await Promise.all([
      groupBy.length === 0 ? [] : reportUsage(db, { ...filter, groupBy, limit, top }),
      // Asked for, not added up: percentiles do not add, and there may be more groups than rows.
      reportUsage(db, { ...filter, groupBy: [] }),
    ]);
    if (total === undefined) throw new Error('a sum of everything is always there');
    return {
      body: {
        object: 'usage',
        since: timeOf(filter.sinceEpochMs),
        until: timeOf(filter.untilEpochMs),
        by: groupBy,
        data: rows.map(rowOf),
        total: rowOf(total),
      },
    };
  },
  exportUsage: async (db, { query: { format, after, ...query }, reach }) => {
    const place = placeOf(after);
    const filter = filterOf(query, reach);
    const { attempts, next } = await exportAttempts(db, { filter, after: place, limit: EXPORT_PAGE });
    const { taken, text } = fitting(format, attempts);
    const last = taken < attempts.length ? attempts[taken - 1] : next;
    return {
      text: place === undefined ? exportHead(format) + text : text,
      contentType: CONTENT_TYPES[format],
      ...(last !== undefined && { next: cursorOf(`${last.startedEpochMs} ${last.attemptId}`) }),
    };
  },
  reRate: async (transaction, { body, actor }) => {
    const { deployment, since, until, reason, after } = body;
    const [sinceEpochMs, untilEpochMs] = [Date.parse(since), until === undefined ? undefined : Date.parse(until)];
    const price = priceOf(body.price);
    const { done, next } = await reRatePage(
      transaction,
      { filter: { deployment, sinceEpochMs, untilEpochMs }, priceOf: () => price, reason, by: actorName(actor) },
      placeOf(after),
    );
    const amount = formatAmount(done.amountNanoUsd);
    const told = { attempts: done.attempts, corrected: done.corrected, amount };
    return {
      body: {
        object: 're_rated',
        ...told,
        has_more: next !== undefined,
        ...(next !== undefined && { next_cursor: cursorOf(`${next.startedEpochMs} ${next.attemptId}`) }),
      },
      ...{ entity: 'usage', entityId: deployment, before: null, after: { ...body, ...told } },
      about: { scopes: [] },
    };
  },
};

function priceOf({ input, output, cached_input: cached, reasoning_output: reasoning }: PriceAsked): Price {
  const rate = (amount: string): number => Number(parseUsd(amount));
  return {
    ...{ input: rate(input), output: rate(output) },
    ...(cached !== undefined && { cachedInput: rate(cached) }),
    ...(reasoning !== undefined && { reasoningOutput: rate(reasoning) }),
  };
}

type PriceAsked = Call<Operations['reRate']>['body']['price'];

/** Attempts of one part of an export: some hundred kilobytes. */
const EXPORT_PAGE = 500;
/** A part ends here, so that it fits a message of NATS. */
const MAX_PART_BYTES = 400 * 1024;

const CONTENT_TYPES = { csv: 'text/csv; charset=utf-8', jsonl: 'application/x-ndjson; charset=utf-8' } as const;

/** As many of the attempts as make a part, at least one. */
function fitting(format: ExportFormat, attempts: readonly AccountedAttempt[]): { taken: number; text: string } {
  let text = '';
  let bytes = 0;
  for (const [index, attempt] of attempts.entries()) {
    const line = exportLines(format, [attempt]);
    bytes += Buffer.byteLength(line);
    if (index > 0 && bytes > MAX_PART_BYTES) return { taken: index, text };
    text += line;
  }
  return { taken: attempts.length, text };
}

/** An export's cursor is a place in the account. @throws InvalidFields it is none of ours */
function placeOf(after: string | undefined): AttemptCursor | undefined {
  const key = readCursor(after);
  if (key === undefined) return undefined;
  const [, epochMs, attemptId] = /^(\d{1,15}) (.+)$/s.exec(key) ?? [];
  if (epochMs !== undefined && attemptId !== undefined) return { startedEpochMs: Number(epochMs), attemptId };
  throw new InvalidFields([{ param: 'after', message: 'It is not where an export went on.' }]);
}

type FilterQuery = Omit<Call<Operations['getUsage']>['query'], 'by' | 'every' | 'top' | 'limit'>;

/** @throws GatewayError(`forbidden`) for another team's; InvalidFields for a time that ends before it begins */
function filterOf({ since, until, tag, team, ...query }: FilterQuery, reach: Reach): UsageFilter {
  if (team !== undefined) refuseForeignTeam(reach, team);
  const [sinceEpochMs, untilEpochMs] = [since, until].map((at) => (at === undefined ? undefined : Date.parse(at)));
  if (sinceEpochMs !== undefined && untilEpochMs !== undefined && untilEpochMs <= sinceEpochMs)
    throw new InvalidFields([{ param: 'until', message: 'It must be after `since`.' }]);
  const { organisation, user, key, feature, model, route, deployment } = query;
  const { provider, endpoint, lane, variant, reason, error } = query;
  return {
    ...{ organisation, user, key, feature, model, route, deployment },
    ...{ provider, endpoint, lane, variant, reason, error },
    ...{ sinceEpochMs, untilEpochMs, team: reach.kind === 'team' ? reach.team : team },
    ...(tag !== undefined && { tags: { [tag.slice(0, tag.indexOf('='))]: tag.slice(tag.indexOf('=') + 1) } }),
  };
}

/** The schema has let only such pass as are some. */
function dimensionsOf(by: string | undefined): UsageDimension[] {
  return by === undefined ? [] : [...new Set(by.split(','))].flatMap((word) => parseDimension(word) ?? []);
}

function timeOf(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : new Date(epochMs).toISOString();
}

function rowOf(row: UsageRow): RowShown {
  return {
    group: Object.fromEntries(Object.entries(row.group).map(([name, value]) => [name, value ?? null])),
    attempts: row.attempts,
    succeeded: row.succeeded,
    errors: row.errors,
    cancelled: row.cancelled,
    cache_hits: row.cacheHits,
    estimated: row.attemptsEstimated,
    unknown_price: row.attemptsWithUnknownPrice,
    input_tokens: row.inputTokens,
    cached_input_tokens: row.cachedInputTokens,
    output_tokens: row.outputTokens,
    reasoning_tokens: row.reasoningTokens,
    cost_usd: formatDollars(row.costNanoUsd),
    cost_nano_usd: String(row.costNanoUsd),
    ttft_ms: row.ttftMs,
    duration_ms: row.durationMs,
    rough_quantiles: row.areQuantilesRough,
  };
}
