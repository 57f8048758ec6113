type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** `Date.parse` makes a date of almost any text with a number in it (`-5` is May 2001); all three HTTP forms begin so. */
const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;
/** Decimal: `Number` would also take hex. */
const DECIMAL = /^\s*\d+(\.\d+)?\s*$/;
/** Nobody is sent away for longer than this on a provider's word. */
const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1_000;

/**
 * When a provider says to come back, in milliseconds: `retry-after-ms`, else `retry-after` in seconds or as a date
 * (RFC 9110, 10.2.3). undefined: it did not say, or nothing that makes sense.
 */
export function retryAfterMs(headers: Headers, nowEpochMs: number): number | undefined {
  const milliseconds = nonNegative(headers['retry-after-ms']);
  if (milliseconds !== undefined) return Math.min(milliseconds, MAX_RETRY_AFTER_MS);
  const header = headers['retry-after'];
  const seconds = nonNegative(header);
  if (seconds !== undefined) return Math.min(seconds * 1_000, MAX_RETRY_AFTER_MS);
  if (typeof header !== 'string' || !HTTP_DATE.test(header)) return undefined;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - nowEpochMs), MAX_RETRY_AFTER_MS);
}

function nonNegative(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && DECIMAL.test(header) ? Number(header) : undefined;
}
