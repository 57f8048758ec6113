import type { NanoUsd } from '../../../shared/money.ts';

/** Whether spending rose over a threshold: from below to it, or beyond. @param alertAt percents of the limit */
export function crosses(
  alertAt: readonly number[],
  limit: NanoUsd,
  { before, after }: { readonly before: NanoUsd; readonly after: NanoUsd },
): boolean {
  return alertAt.some((percent) => before * 100n < limit * BigInt(percent) && after * 100n >= limit * BigInt(percent));
}
