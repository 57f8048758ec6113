import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';

/** What of a window is taken. */
export interface Balance {
  readonly limit: NanoUsd;
  readonly spent: NanoUsd;
  readonly leased: NanoUsd;
}

export interface SliceAsk<Window> {
  readonly window: Window;
  /** Less than this is no use. */
  readonly need: NanoUsd;
  /** What would last for a while. */
  readonly want: NanoUsd;
}

/** Granted: a slice for each item, in their order. Refused: the first item whose window has too little left. */
export type Decision = { readonly slices: readonly NanoUsd[] } | { readonly refusedAt: number };

/** Each ingress may hold this part of its even share of what is left: the others find something, too. */
const PARTS_OF_SHARE = 4n;

/**
 * How much of `available` one ingress gets: what it wants while there is plenty, less and less as it runs out, and exactly
 * what it needs for one request at the end, so that nothing lies idle in one place while another is refused.
 * undefined: it is less than what is needed.
 * @param ingresses that share the budget, at least 1
 */
export function sliceOf(
  available: NanoUsd,
  { need, want }: Pick<SliceAsk<unknown>, 'need' | 'want'>,
  ingresses: number,
): NanoUsd | undefined {
  if (available < need) return undefined;
  const share = available / (PARTS_OF_SHARE * BigInt(Math.max(1, ingresses)));
  if (want <= need || share < 2n * need) return need;
  return want < share ? want : share;
}

/**
 * Decides asks one after the other, each all or nothing: what one was granted is missing to the next. Windows that the
 * asks name must be in `balances`, which is not changed.
 */
export function decideAsks<Window>(
  asks: readonly (readonly SliceAsk<Window>[])[],
  balances: ReadonlyMap<Window, Balance>,
  ingresses: number,
): Decision[] {
  const left = new Map(
    Array.from(balances, ([window, { limit, spent, leased }]) => [window, limit - spent - leased] as const),
  );
  return asks.map((items) => {
    const slices: NanoUsd[] = [];
    for (const [index, item] of items.entries()) {
      const available = left.get(item.window) ?? 0n;
      const slice = sliceOf(available, item, ingresses);
      if (slice === undefined) {
        for (const [taken, amount] of slices.entries()) giveBack(left, items[taken], amount);
        return { refusedAt: index };
      }
      slices.push(slice);
      left.set(item.window, available - slice);
    }
    return { slices };
  });
}

function giveBack<Window>(left: Map<Window, NanoUsd>, item: SliceAsk<Window> | undefined, amount: NanoUsd): void {
  if (item !== undefined) left.set(item.window, (left.get(item.window) ?? 0n) + amount);
}

/** An ingress that asked and reported nothing for this long shares nothing any more: it reports every 5 s. */
const FORGOTTEN_AFTER_MS = 30_000;
/** Further ones are not counted: slices are small enough by then. */
const MAX_COUNTED = 1_024;

/** How many ingresses share the budgets, by who asked and reported of late. Soft: it decides the size of slices only. */
export class IngressCount {
  readonly #seenAt = new Map<string, Millis>();

  seen(ingress: string, now: Millis): void {
    if (this.#seenAt.size >= MAX_COUNTED && !this.#seenAt.has(ingress)) return;
    this.#seenAt.set(ingress, now);
  }

  /** At least 1. */
  at(now: Millis): number {
    for (const [ingress, at] of this.#seenAt) if (now - at >= FORGOTTEN_AFTER_MS) this.#seenAt.delete(ingress);
    return Math.max(1, this.#seenAt.size);
  }
}
