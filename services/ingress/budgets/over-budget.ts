import { GatewayError } from '../../../shared/errors.ts';
import { formatUsd } from '../../../shared/money.ts';
import type { OverBudget } from './lease-book.ts';

/** What the client is told: which budget, whose, how it stands, and when it renews. */
export function budgetExceeded({ item, refusal, needNanoUsd }: OverBudget, nowEpochMs: number): GatewayError {
  const { name, limitNanoUsd, spentNanoUsd, leasedNanoUsd = 0, renewsEpochMs } = refusal;
  const whose = item.subject === 'total' ? 'the whole gateway' : item.subject;
  const amounts = `${usd(spentNanoUsd + leasedNanoUsd)} of ${usd(limitNanoUsd)} are spent or reserved`;
  const renews =
    renewsEpochMs === undefined ? 'It does not renew.' : `It renews at ${new Date(renewsEpochMs).toISOString()}.`;
  const message = `The budget "${name}" of ${whose} has too little left for this request, which may cost up to ${usd(needNanoUsd)}: ${amounts}. ${renews}`;
  const retryAfterMs = renewsEpochMs === undefined ? undefined : Math.max(0, renewsEpochMs - nowEpochMs);
  return new GatewayError('budget_exceeded', message, { retryAfterMs });
}

/** A hard budget pays for nothing whose price nobody knows. */
export function priceUnknown(model: string, budget: string): GatewayError {
  const message = `No price is known for \`${model}\`, and the budget "${budget}" pays for nothing without a price.`;
  return new GatewayError('price_unknown', message, { param: 'model' });
}

function usd(nano: number): string {
  return formatUsd(BigInt(nano));
}
