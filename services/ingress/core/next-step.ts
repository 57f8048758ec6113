import { fullJitter } from '../../../shared/backoff.ts';
import type { Millis } from '../../../shared/clock.ts';
import type { RoutePolicy } from '../../../shared/config.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import { ERRORS } from '../../../shared/errors.ts';
import type { RetryBudget } from '../../../shared/retry-budget.ts';

/** No provider bore a load with these, so that trying elsewhere adds none. */
const FREE: ReadonlySet<string> = new Set<ErrorCode>([
  'worker_busy',
  'worker_lost',
  'upstream_unreachable',
  'deployment_throttled',
  'deployment_disabled',
]);
/** What fails again at the same deployment, however long one waits. */
const LASTING: ReadonlySet<string> = new Set<ErrorCode>([
  'upstream_unauthorized',
  'upstream_quota_exhausted',
  'upstream_malformed',
  'context_length_exceeded',
  'content_filtered',
  'deployment_disabled',
]);

/** Once everybody was tried, those whose failure may pass are tried again, this many times. */
const MAX_FURTHER_ROUNDS = 2;
const REST = { baseMs: 100, capMs: 2_000 };

/** Whether a deployment that failed like this must not be asked again for the same request. */
export function isLasting(code: string): boolean {
  return LASTING.has(code);
}

/** What the attempts of one request have come to. */
export interface SoFar {
  readonly attempts: number;
  readonly costNanoUsd: number;
  /** The client has a part of the answer. */
  readonly hasShown: boolean;
  readonly remainingMs: Millis;
}

/** `over_budget`: another attempt might help, but there have been too many retries of late. */
export type NextStep = 'elsewhere' | 'give_up' | 'over_budget';

/** After a failed attempt: whether the request goes elsewhere. A retry that burdens providers is paid for in `retries`. */
export function nextStep(
  code: ErrorCode,
  { maxAttempts, maxCostNanoUsd, onContentFilter, onStreamBreak }: RoutePolicy,
  { attempts, costNanoUsd, hasShown, remainingMs }: SoFar,
  retries: Pick<RetryBudget, 'tryWithdraw'>,
  now: Millis,
): NextStep {
  const isFiltered = code === 'content_filtered' && onContentFilter === 'fallback' && !hasShown;
  if (ERRORS[code].retry !== 'elsewhere' && !isFiltered) return 'give_up';
  if (hasShown && onStreamBreak !== 'continue') return 'give_up';
  if (attempts >= maxAttempts || remainingMs <= 0) return 'give_up';
  if (maxCostNanoUsd !== undefined && costNanoUsd >= maxCostNanoUsd) return 'give_up';
  return FREE.has(code) || retries.tryWithdraw(now) ? 'elsewhere' : 'over_budget';
}

/**
 * Nobody is left to ask. How long to wait, by full jitter and as `retry-after` says, before everybody whose failure may
 * pass is asked once more; undefined: it ends here.
 * @param last how the last one failed
 */
export function restBeforeRound(
  last: { readonly code: ErrorCode; readonly retryAfterMs: Millis | undefined },
  { rounds, remainingMs }: { readonly rounds: number; readonly remainingMs: Millis },
  random: () => number,
): Millis | undefined {
  if (rounds >= MAX_FURTHER_ROUNDS || isLasting(last.code) || ERRORS[last.code].retry !== 'elsewhere') return undefined;
  const restMs = Math.max(fullJitter(rounds, REST, random), last.retryAfterMs ?? 0);
  return restMs <= REST.capMs && restMs < remainingMs ? restMs : undefined;
}
