import type { Millis } from '../../../shared/clock.ts';
import { formatDuration } from '../../../shared/config/duration.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { LimitTerms } from '../../../shared/messages/rules.ts';
import { formatUsd } from '../../../shared/money.ts';
import type { LimitDimension, Refused, Standing } from './limit-terms.ts';
import type { HeaderList } from './response-headers.ts';

const NO_HEADERS: HeaderList = {};
const MAX_SHOWN_CHARS = 200;

/** `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as OpenAI sends them; none where there is no such limit. */
export function rateLimitHeaders({ requests, tokens }: Standing): HeaderList {
  if (requests === undefined && tokens === undefined) return NO_HEADERS;
  // Name by name: names that are put together are made into keys anew for each request.
  const headers: Record<string, string> = {};
  if (requests !== undefined) {
    headers['x-ratelimit-limit-requests'] = String(requests.perMinute);
    headers['x-ratelimit-remaining-requests'] = String(requests.remaining);
    headers['x-ratelimit-reset-requests'] = formatReset(requests.resetMs);
  }
  if (tokens !== undefined) {
    headers['x-ratelimit-limit-tokens'] = String(tokens.perMinute);
    headers['x-ratelimit-remaining-tokens'] = String(tokens.remaining);
    headers['x-ratelimit-reset-tokens'] = formatReset(tokens.resetMs);
  }
  return headers;
}

/** 429 `rate_limit_exceeded`, which names whose limit it is and of what. */
export function refusalError({ limit, dimension, waitMs, standing }: Refused): GatewayError {
  const { subject, terms } = limit;
  const said = `Rate limit reached for ${subject.slice(0, MAX_SHOWN_CHARS)}: ${termsText(dimension, terms)}.`;
  const retryAfterMs = Math.ceil(waitMs);
  return new GatewayError('rate_limit_exceeded', `${said} Please try again in ${formatReset(retryAfterMs)}.`, {
    retryAfterMs,
    headers: rateLimitHeaders(standing),
  });
}

function termsText(dimension: LimitDimension, terms: LimitTerms): string {
  const { requestsPerMinute = 0, tokensPerMinute = 0, cost, concurrent = 0 } = terms;
  switch (dimension) {
    case 'requests':
      return `${requestsPerMinute} requests per minute`;
    case 'tokens':
      return `${tokensPerMinute} tokens per minute`;
    case 'cost':
      return `${formatUsd(BigInt(cost?.nanoUsd ?? 0))} per ${formatDuration(cost?.perMs ?? 0)}`;
    case 'concurrent':
      return `${concurrent} concurrent requests`;
  }
}

/** `20ms`, `1.5s`, `6m0s`, `1h0m30s`: upward to whole milliseconds. */
export function formatReset(ms: Millis): string {
  const whole = Math.ceil(ms);
  if (whole < 1_000) return whole === 0 ? '0s' : `${whole}ms`;
  const minutes = Math.floor(whole / 60_000);
  const seconds = `${(whole % 60_000) / 1_000}s`;
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
