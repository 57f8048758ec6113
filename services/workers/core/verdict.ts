import type { ErrorCode, UpstreamError } from '../../../shared/errors.ts';

/** How an attempt ended. */
export interface Ending {
  /** null: with a whole answer. */
  readonly code: ErrorCode | null;
  readonly upstream?: UpstreamError | undefined;
  /** What the provider said of when to come back. */
  readonly retryAfterMs?: number | undefined;
}

/** What an attempt's end says of its deployment. */
export interface Verdict {
  /** For the circuit breaker; `none`: it says nothing of the deployment's health. */
  readonly health: 'success' | 'failure' | 'none';
  /** The provider wants fewer calls at once. */
  readonly isOverload: boolean;
  /** Nothing may be sent for this long; `unsaid`: the provider refused (429) without saying how long. */
  readonly blockedMs: number | 'unsaid' | undefined;
}

const SUCCESS: Verdict = { health: 'success', isOverload: false, blockedMs: undefined };
const FAILURE: Verdict = { health: 'failure', isOverload: false, blockedMs: undefined };
const NONE: Verdict = { health: 'none', isOverload: false, blockedMs: undefined };

/** Beside `upstream_failed`, which depends. Everything else is not about the deployment. */
const FAILURES: ReadonlySet<ErrorCode> = new Set([
  'upstream_unreachable',
  'upstream_timeout',
  'upstream_malformed',
  'upstream_cut_off',
  'upstream_unauthorized',
]);
/** A conflict or "too early" is about the request, not about who answers. */
const INNOCENT_STATUSES: ReadonlySet<number | undefined> = new Set([409, 425]);

/**
 * A 429 says "later", not "broken" (with an account that is empty: much later); the caller's own mistakes, cancellations and what went wrong inside the gateway say
 * nothing. A 503 that names a time says both.
 */
export function verdictOf({ code, upstream, retryAfterMs }: Ending): Verdict {
  if (code === null) return SUCCESS;
  if (code === 'upstream_throttled' || code === 'upstream_quota_exhausted')
    return { health: 'none', isOverload: true, blockedMs: retryAfterMs ?? 'unsaid' };
  if (code === 'upstream_timeout') return { health: 'failure', isOverload: true, blockedMs: undefined };
  if (code === 'upstream_failed') {
    if (upstream?.status === 503) return { health: 'failure', isOverload: true, blockedMs: retryAfterMs };
    return INNOCENT_STATUSES.has(upstream?.status) ? NONE : FAILURE;
  }
  return FAILURES.has(code) ? FAILURE : NONE;
}
