import type { Millis } from '../../../shared/clock.ts';
import { patternOf } from '../../../shared/scope.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { BudgetPeriod, BudgetWindow, WindowKey } from './windows.ts';
import { nameOfWindow, WindowCalendar } from './windows.ts';

export interface LiveBudget extends BudgetPeriod {
  readonly id: string;
  readonly scope: ScopeName;
}

export interface TargetWindow extends WindowKey, BudgetWindow {
  /** nameOfWindow of it. */
  readonly name: string;
  /** The length of a rolling budget; null for all others. */
  readonly rollingMs: Millis | null;
}

/** The scopes and patterns whose budgets these scopes fall under. */
export function scopesAndPatterns(scopes: Iterable<ScopeName>): Set<ScopeName> {
  const all = new Set<ScopeName>();
  for (const scope of scopes) all.add(scope).add(patternOf(scope));
  return all;
}

/** A budget for one scope, and the window that was found of it last: mostly the next one, too. */
interface Aim {
  readonly budget: LiveBudget;
  last: TargetWindow | undefined;
}

/** Finds the windows that something is charged to. Made for one batch; it keeps the windows it has found. */
export class TargetFinder {
  readonly #byScope = new Map<ScopeName, LiveBudget[]>();
  readonly #aims = new Map<ScopeName, Aim[]>();
  readonly #calendar = new WindowCalendar();
  readonly #found = new Map<string, TargetWindow>();

  constructor(budgets: Iterable<LiveBudget>) {
    for (const budget of budgets) {
      const others = this.#byScope.get(budget.scope);
      if (others === undefined) this.#byScope.set(budget.scope, [budget]);
      else others.push(budget);
    }
  }

  /** Each once. */
  get found(): TargetWindow[] {
    return [...this.#found.values()];
  }

  has(key: WindowKey): boolean {
    return this.#found.has(nameOfWindow(key));
  }

  /**
   * The window of each budget that the scopes fall under, at this moment.
   * @param reserved where it was reserved: the same budget's window for the same scope is that one, whatever the moment
   */
  windowsOf(scopes: readonly ScopeName[], epochMs: Millis, reserved: readonly WindowKey[]): TargetWindow[] {
    const windows: TargetWindow[] = [];
    for (const subject of scopes) {
      for (const aim of this.#aimsOf(subject)) {
        const lease = reserved.find((key) => key.budgetId === aim.budget.id && key.subject === subject);
        const at = lease?.startsAt ?? epochMs;
        const { last } = aim;
        if (last === undefined || at < last.startsAt || at >= last.endsAt)
          aim.last = this.#target(aim.budget, subject, at);
        if (aim.last !== undefined) windows.push(aim.last);
      }
    }
    return windows;
  }

  #aimsOf(subject: ScopeName): Aim[] {
    const known = this.#aims.get(subject);
    if (known !== undefined) return known;
    const aims = [...scopesAndPatterns([subject])]
      .flatMap((scope) => this.#byScope.get(scope) ?? [])
      .map((budget): Aim => ({ budget, last: undefined }));
    this.#aims.set(subject, aims);
    return aims;
  }

  #target(budget: LiveBudget, subject: ScopeName, epochMs: Millis): TargetWindow {
    const window = this.#calendar.windowOf(budget, epochMs);
    const key = { budgetId: budget.id, subject, startsAt: window.startsAt };
    const name = nameOfWindow(key);
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const target = { ...key, endsAt: window.endsAt, name, rollingMs: budget.rollingMs };
    this.#found.set(name, target);
    return target;
  }
}
