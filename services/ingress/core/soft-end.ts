import type { Millis } from '../../../shared/clock.ts';
import type { SpentBudget } from './scope-ruling.ts';

/** What becomes of a request whose soft budgets are over. None of them refuses it: at last it is served as it was asked for. */
export type SoftEnd = SoftServing | SoftWait;

export type SoftServing = { readonly kind: 'serve' } | { readonly kind: 'downgrade'; readonly to: string };

/** Until then; the budget may have room before. */
export interface SoftWait {
  readonly kind: 'wait';
  readonly untilEpochMs: Millis;
}

export interface SoftEndAsk {
  readonly over: readonly SpentBudget[];
  /** Whether it may be served by that route instead. */
  readonly mayServeAs: (route: string) => boolean;
  readonly deadlineEpochMs: Millis;
  /** Since when it waits. */
  readonly sinceEpochMs: Millis;
  readonly nowEpochMs: Millis;
}

const SERVE: SoftEnd = { kind: 'serve' };

/**
 * The first budget that names another route has its way: the request may fall under the others no more. Else the longest
 * of the waits that leave it time to be served. A wait ends when the window turns, or when the budget's patience does.
 */
export function softEndOf({ over, mayServeAs, deadlineEpochMs, sinceEpochMs, nowEpochMs }: SoftEndAsk): SoftEnd {
  let untilEpochMs = nowEpochMs;
  for (const { item, untilEpochMs: turnsEpochMs } of over) {
    if (nowEpochMs >= turnsEpochMs) continue;
    const { onLimit } = item.terms;
    if (onLimit.kind === 'downgrade' && mayServeAs(onLimit.to)) return onLimit;
    if (onLimit.kind !== 'queue') continue;
    const endsEpochMs = Math.min(turnsEpochMs, sinceEpochMs + (onLimit.forMs ?? Infinity));
    if (endsEpochMs < deadlineEpochMs) untilEpochMs = Math.max(untilEpochMs, endsEpochMs);
  }
  return untilEpochMs > nowEpochMs ? { kind: 'wait', untilEpochMs } : SERVE;
}
