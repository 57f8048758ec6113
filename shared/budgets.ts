/** What a budget may be: the configuration file, the admin API and the ledger keep to the same bounds. */
export const PERIODS = ['day', 'week', 'month', 'rolling', 'total'] as const;
export type Period = (typeof PERIODS)[number];

const MINUTE_MS = 60_000;

/** Nine million dollars: with every raise it stays below 2^53 nano-dollars, and a thousand times it below 2^63. */
export const MAX_BUDGET_NANO_USD = 9_000_000_000_000_000;
/** The length of a rolling budget; spending leaves it by sixtieths. */
export const ROLLING_MS = { min: MINUTE_MS, max: 366 * 24 * 60 * MINUTE_MS };
/** Thresholds of alerts, in percent of the limit. */
export const ALERT_PERCENT = { min: 1, max: 1_000 };
export const MAX_ALERTS = 16;
export const DEFAULT_ALERT_AT: readonly number[] = [50, 80, 100];
export const MAX_BUDGET_NAME_CHARS = 256;

/** What a budget is called that was given no name. */
export function defaultBudgetName(scope: string, per: Period): string {
  if (per === 'total') return `${scope} in total`;
  return per === 'rolling' ? `${scope} rolling` : `${scope} per ${per}`;
}

/** Whether this names a time zone: an IANA name, or an offset such as `+02:00`. */
export function isTimeZone(timeZone: string): boolean {
  try {
    return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(timeZone).timeZoneId !== '';
  } catch {
    return false;
  }
}
