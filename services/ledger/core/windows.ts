import type { Period } from '../../../shared/budgets.ts';
import type { Millis } from '../../../shared/clock.ts';

/** When a budget begins anew. */
export interface BudgetPeriod {
  readonly per: Period;
  /** IANA name: decides when days, weeks and months begin. */
  readonly timeZone: string;
  /** The length of a `rolling` budget; null for all others. */
  readonly rollingMs: Millis | null;
}

/** From `startsAt` up to, but without, `endsAt`: Unix epoch milliseconds, or ∓Infinity. */
export interface BudgetWindow {
  readonly startsAt: Millis;
  readonly endsAt: Millis;
}

/** One budget's balance for one scope, in one of its windows. */
export interface WindowKey {
  readonly budgetId: string;
  /** The scope itself, also where the budget is for a pattern. */
  readonly subject: string;
  /** As `BudgetWindow.startsAt`. */
  readonly startsAt: Millis;
}

/** The same for the same window; nobody reads it. */
export function nameOfWindow({ budgetId, subject, startsAt }: WindowKey): string {
  return `${budgetId}\0${subject}\0${startsAt}`;
}

const ALWAYS: BudgetWindow = { startsAt: -Infinity, endsAt: Infinity };

/**
 * The window that a moment is in. Days begin with the first instant of the date in their time zone, which is not midnight
 * where the clock is put forward then; weeks begin on Monday. `rolling` and `total` budgets have one window, for ever.
 * @throws RangeError for a time zone that does not exist
 */
export function windowOf({ per, timeZone }: Pick<BudgetPeriod, 'per' | 'timeZone'>, epochMs: Millis): BudgetWindow {
  if (per === 'rolling' || per === 'total') return ALWAYS;
  const date = Temporal.Instant.fromEpochMilliseconds(Math.floor(epochMs)).toZonedDateTimeISO(timeZone).toPlainDate();
  const first = firstDateOf(per, date);
  const next = first.add(per === 'day' ? { days: 1 } : per === 'week' ? { weeks: 1 } : { months: 1 });
  return { startsAt: startOf(first, timeZone), endsAt: startOf(next, timeZone) };
}

/** As `windowOf`; most moments that are asked for are in the window that the last one was in. */
export class WindowCalendar {
  readonly #last = new Map<string, BudgetWindow>();

  windowOf(period: Pick<BudgetPeriod, 'per' | 'timeZone'>, epochMs: Millis): BudgetWindow {
    const name = `${period.per} ${period.timeZone}`;
    const last = this.#last.get(name);
    if (last !== undefined && epochMs >= last.startsAt && epochMs < last.endsAt) return last;
    const window = windowOf(period, epochMs);
    this.#last.set(name, window);
    return window;
  }
}

function firstDateOf(per: 'day' | 'week' | 'month', date: Temporal.PlainDate): Temporal.PlainDate {
  if (per === 'day') return date;
  return per === 'week' ? date.subtract({ days: date.dayOfWeek - 1 }) : date.with({ day: 1 });
}

function startOf(date: Temporal.PlainDate, timeZone: string): Millis {
  return date.toZonedDateTime(timeZone).epochMilliseconds;
}
