const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/**
 * Some sums are kept by so many days too, counted from the epoch on. More, and there would be no whole such time in a week;
 * fewer, and a month had more rows than can be added up in no time.
 */
export const FOUR_DAYS_MS = 4 * DAY_MS;

/** Milliseconds since the epoch; the end is exclusive, and may be infinite as the start may. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** From when on each source is complete; `-Infinity` where nothing was ever dropped. */
export interface KeptSince {
  readonly attempts: number;
  readonly hours: number;
  readonly days: number;
}

/** Where the parts of a report's time are read: whole days, whole hours, and attempts one by one. No two overlap. */
export interface ReportPlan {
  readonly days: Span | undefined;
  readonly hours: readonly Span[];
  readonly attempts: readonly Span[];
}

/**
 * Reads as few rows as there can be: whole days from the daily sums, the rest of the first and last day from the hourly ones,
 * and what is less than an hour from the attempts. What a source has no more is taken from a finer one, or, where that is
 * gone too, the time is widened to what is left: its whole hour or day.
 * @param isByHour the report tells hours apart: days are of no use
 */
export function planReport({ fromMs, toMs }: Span, kept: KeptSince, isByHour: boolean): ReportPlan {
  const from = widen(fromMs, kept, floorTo);
  const to = widen(toMs, kept, ceilTo);
  if (from >= to) return { days: undefined, hours: [], attempts: [] };
  const firstDay = ceilTo(Math.max(from, kept.days), DAY_MS);
  const lastDay = floorTo(to, DAY_MS);
  const hasDays = !isByHour && firstDay < lastDay;
  const edges = hasDays ? [span(from, firstDay), span(lastDay, to)] : [span(from, to)];
  const hours: Span[] = [];
  const attempts: Span[] = [];
  for (const edge of edges) {
    const firstHour = Math.min(Math.max(ceilTo(edge.fromMs, HOUR_MS), ceilTo(kept.hours, HOUR_MS)), edge.toMs);
    const lastHour = Math.max(floorTo(edge.toMs, HOUR_MS), firstHour);
    attempts.push(span(edge.fromMs, firstHour));
    hours.push(span(firstHour, lastHour));
    attempts.push(span(lastHour, edge.toMs));
  }
  return {
    days: hasDays ? span(firstDay, lastDay) : undefined,
    hours: hours.filter(isNotEmpty),
    attempts: attempts.filter(isNotEmpty),
  };
}

/** From the first part to the last; undefined: there is none. */
export function spanOf({ days, hours, attempts }: ReportPlan): Span | undefined {
  const parts = [...(days === undefined ? [] : [days]), ...hours, ...attempts];
  if (parts.length === 0) return undefined;
  return span(Math.min(...parts.map(({ fromMs }) => fromMs)), Math.max(...parts.map(({ toMs }) => toMs)));
}

/** Whole days as whole four days, and the days that are left at both ends. */
export function splitDays(days: Span): { readonly fourDays: Span | undefined; readonly rest: readonly Span[] } {
  const first = ceilTo(days.fromMs, FOUR_DAYS_MS);
  const last = floorTo(days.toMs, FOUR_DAYS_MS);
  if (first >= last) return { fourDays: undefined, rest: [days] };
  return {
    fourDays: span(first, last),
    rest: [span(days.fromMs, first), span(last, days.toMs)].filter(isNotEmpty),
  };
}

/** An edge of which the attempts are gone lies at a whole hour; where hours are gone too, at a whole day. */
function widen(edgeMs: number, kept: KeptSince, round: (ms: number, unitMs: number) => number): number {
  if (edgeMs >= kept.attempts) return edgeMs;
  const atHour = round(edgeMs, HOUR_MS);
  return floorTo(edgeMs, HOUR_MS) >= kept.hours ? atHour : round(edgeMs, DAY_MS);
}

function span(fromMs: number, toMs: number): Span {
  return { fromMs, toMs };
}

function isNotEmpty({ fromMs, toMs }: Span): boolean {
  return fromMs < toMs;
}

/** Infinities stay what they are. */
export function floorTo(ms: number, unitMs: number): number {
  return Number.isFinite(ms) ? Math.floor(ms / unitMs) * unitMs : ms;
}

export function ceilTo(ms: number, unitMs: number): number {
  return Number.isFinite(ms) ? Math.ceil(ms / unitMs) * unitMs : ms;
}
