import type { Catalog, Resolution } from '../../shared/catalog.ts';
import type { Clock } from '../../shared/clock.ts';
import { locateOutputLimits } from '../../shared/dialects/output-limits.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { Account } from '../../shared/messages/account.ts';
import type { OutputBound } from '../../shared/messages/task.ts';
import { tokensEstimateOf } from '../../shared/tokens.ts';
import { Cover } from './budgets/cover.ts';
import type { LeaseBook } from './budgets/lease-book.ts';
import { OverBudget } from './budgets/lease-book.ts';
import { budgetExceeded, priceUnknown } from './budgets/over-budget.ts';
import type { Reservation } from './budgets/reservation.ts';
import { Turns } from './budgets/turns.ts';
import { Candidates } from './candidates.ts';
import type { Charged } from './charge-book.ts';
import { ChargeBook } from './charge-book.ts';
import { accountOf } from './core/admission-terms.ts';
import type { ActualUse } from './core/limit-terms.ts';
import type { Quote } from './core/quote.ts';
import { quoteOf } from './core/quote.ts';
import type { HeaderList } from './core/response-headers.ts';
import type { ApplicableBudget, ScopeRuling } from './core/scope-ruling.ts';
import type { SoftEnd, SoftServing, SoftWait } from './core/soft-end.ts';
import { softEndOf } from './core/soft-end.ts';
import type { RequestLimits, TakenLimits } from './limits/request-limits.ts';
import type { AdmittedRequest } from './request.ts';
import type { RuleBook } from './rule-book.ts';

/** A usage event names no more leases (messages/usage.ts). */
const MAX_HARD_BUDGETS = 64;

/** The terms on which a request is served. `over` is called once, when nothing more will come of it. */
export interface Terms {
  /** Maybe to be served by another route than it asked for. */
  readonly request: AdmittedRequest;
  /** Whom its attempts are charged to; undefined: its key says it all. */
  readonly account: Account | undefined;
  /** The route that it was admitted under; null: none. */
  readonly route: string | null;
  /** Pays for its attempts; undefined: no hard budget does. */
  readonly cover: Cover | undefined;
  /** Where the body says what `cover` must pay for; undefined where there is none. */
  readonly outputLimitsAt: OutputBound['at'] | undefined;
  /** How its limits stand. */
  readonly headers: HeaderList;
  over(actual: ActualUse): void;
}

export interface AdmissionDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly rules: Pick<RuleBook, 'rulesOf'>;
  readonly limits: Pick<RequestLimits, 'take'>;
  readonly book: Pick<LeaseBook, 'reserve' | 'reserveLater'>;
  /** No ledger that could record what is spent is heard of. */
  readonly isLedgerAway: () => boolean;
  /** A request passed although nobody knows how its soft budgets stand. */
  readonly onUnchecked: () => void;
}

const NO_HEADERS: HeaderList = {};

interface Asked {
  readonly request: AdmittedRequest;
  readonly resolution: Resolution;
  readonly charged: Charged;
  readonly isGone: () => boolean;
}

/** What is known of a request before anything is taken for it. */
interface Plan {
  readonly request: AdmittedRequest;
  readonly account: Account | undefined;
  readonly route: string | null;
  readonly hard: readonly ApplicableBudget[];
  /** Only where it is wanted, and some price is known. */
  readonly quote: Quote | undefined;
  readonly outputLimitsAt: OutputBound['at'] | undefined;
  readonly isGone: () => boolean;
}

/**
 * Whether a request may be served now, and who pays: the rules of its scopes, soft budgets that are spent, limits, hard
 * budgets, in this order. What was taken is given back when a later one refuses. At once when all of it is in memory.
 */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #candidates: Candidates;
  readonly #charges = new ChargeBook();
  readonly #turns: Turns;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    this.#candidates = new Candidates(deps.catalog);
    this.#turns = new Turns(deps.clock);
  }

  /**
   * @param isGone whether its client has left: nobody waits for the answer
   * @throws GatewayError, at once or as a promise: `scope_blocked`, `rate_limit_exceeded`, `budget_exceeded`, `price_unknown`,
   *   `ledger_unavailable`, `overloaded`
   */
  admit(request: AdmittedRequest, isGone: () => boolean): Terms | Promise<Terms> {
    const { catalog, rules } = this.#deps;
    const { model, servedAs, via: router, overrides } = request;
    const resolution = catalog.resolve(servedAs ?? model, { router, overrides });
    const charged = this.#charges.chargedOf(request, resolution);
    return andThen(rules.rulesOf(charged.scopes, charged.slot), (ruling) => {
      if (ruling.over !== undefined && ruling.blocked === undefined && resolution !== undefined)
        return this.#admitOver({ request, resolution, charged, isGone }, ruling);
      return this.#take(this.#plan(request, resolution, ruling, charged, isGone), ruling);
    });
  }

  /** Soft budgets have nothing left: another route serves, or the request waits, as they say. They refuse nobody. */
  #admitOver(asked: Asked, ruling: ScopeRuling): Terms | Promise<Terms> {
    const since = this.#deps.clock.epochMs();
    const end = this.#softEnd(asked.request, ruling, since);
    return end.kind === 'wait' ? this.#admitAfter(end, asked, since) : this.#admitAt(end, asked, ruling);
  }

  /** Looks at the rules anew now and then: a budget that is raised has room before its window turns. */
  async #admitAfter(first: SoftWait, asked: Asked, since: number): Promise<Terms> {
    const { request, charged, isGone } = asked;
    for (let wait = first; ;) {
      const hasRoom = await this.#turns.wait(wait.untilEpochMs, wait.untilEpochMs);
      if (isGone()) throw new GatewayError('client_closed_request', 'The client left before its budget had room.');
      const ruling = await this.#deps.rules.rulesOf(charged.scopes, charged.slot);
      const next: SoftEnd = hasRoom ? this.#softEnd(request, ruling, since) : { kind: 'serve' };
      if (next.kind !== 'wait') return this.#admitAt(next, asked, ruling);
      wait = next;
    }
  }

  #admitAt(end: SoftServing, asked: Asked, ruling: ScopeRuling): Terms | Promise<Terms> {
    const { request, resolution, charged, isGone } = asked;
    if (end.kind === 'downgrade') return this.admit(servedBy(end.to, request), isGone);
    return this.#take(this.#plan(request, resolution, ruling, charged, isGone), ruling);
  }

  #softEnd(request: AdmittedRequest, { over = [] }: ScopeRuling, sinceEpochMs: number): SoftEnd {
    const { deadlineEpochMs } = request;
    const mayServeAs = (route: string): boolean => this.#mayBeServedBy(route, request);
    return softEndOf({ over, mayServeAs, deadlineEpochMs, sinceEpochMs, nowEpochMs: this.#deps.clock.epochMs() });
  }

  /** Once, and by a route that there is. */
  #mayBeServedBy(route: string, { model, servedAs, via: router }: AdmittedRequest): boolean {
    if (servedAs !== undefined || route === model) return false;
    return this.#deps.catalog.resolve(route, { router }) !== undefined;
  }

  #take(plan: Plan, { limits }: ScopeRuling): Terms | Promise<Terms> {
    if (limits.length === 0) return this.#pay(plan, undefined);
    const { request, quote } = plan;
    const costNanoUsd = quote?.nanoUsd ?? 0;
    const ask = { limits, tokens: tokensEstimateOf(request), costNanoUsd, requestId: request.id };
    return andThen(this.#deps.limits.take(ask, this.#deps.clock.now()), (taken) => this.#pay(plan, taken));
  }

  #plan(
    request: AdmittedRequest,
    resolution: Resolution | undefined,
    { blocked, limits, budgets }: ScopeRuling,
    { modelScope, route }: Charged,
    isGone: () => boolean,
  ): Plan {
    if (blocked !== undefined) throw scopeBlocked(blocked);
    const { clock, isLedgerAway, onUnchecked } = this.#deps;
    const isBudgeted = budgets.length > 0;
    const account = accountOf(request, { modelScope, isBudgeted }, clock.epochMs());
    const free = { request, account, route, hard: [], quote: undefined, outputLimitsAt: undefined, isGone };
    // What nobody knows is served by nobody: a router says so.
    if (resolution === undefined || (limits.length === 0 && !isBudgeted)) return free;
    const hard = hardOf(budgets);
    if (hard.length < budgets.length && isLedgerAway()) onUnchecked();
    const quote = quoteOf(this.#candidates.of(resolution, request.via), request);
    const [first] = hard;
    if (first === undefined) return { ...free, quote };
    if (hard.length > MAX_HARD_BUDGETS) throw new GatewayError('internal', 'A request that too many budgets pay for.');
    refuseUncounted(request);
    const outputLimitsAt = request.endpoint === 'chat' ? locateOutputLimits(request) : undefined;
    if (quote === undefined) throw priceUnknown(request.servedAs ?? request.model, first.terms.name);
    // Slots that were promised ahead may be of somebody without a price.
    const priced = quote.hasUnpriced ? { ...request, mustBePriced: true, nameKey: undefined } : request;
    return { request: priced, account, route, hard, quote, outputLimitsAt, isGone };
  }

  #pay(plan: Plan, taken: TakenLimits | undefined): Terms | Promise<Terms> {
    const { hard, quote } = plan;
    if (hard.length === 0 || quote === undefined) return termsOf(plan, undefined, taken);
    const reservation = this.#deps.book.reserve(hard, quote);
    if (reservation === undefined) return this.#payLater(plan, quote, taken);
    return termsOf(plan, new Cover(this.#deps, hard, reservation), taken);
  }

  async #payLater(plan: Plan, quote: Quote, taken: TakenLimits | undefined): Promise<Terms> {
    let outcome: Reservation | OverBudget;
    try {
      outcome = await this.#reserve(plan, quote);
    } catch (failure) {
      taken?.giveBack();
      throw failure;
    }
    if (!(outcome instanceof OverBudget)) return termsOf(plan, new Cover(this.#deps, plan.hard, outcome), taken);
    taken?.giveBack();
    const { request, isGone } = plan;
    const { onLimit } = outcome.item.terms;
    if (onLimit.kind !== 'downgrade' || !this.#mayBeServedBy(onLimit.to, request))
      throw budgetExceeded(outcome, this.#deps.clock.epochMs());
    return this.admit(servedBy(onLimit.to, request), isGone);
  }

  /** Waits for its turn where the budget that is used up says so. */
  async #reserve({ request, hard, isGone }: Plan, quote: Quote): Promise<Reservation | OverBudget> {
    const { book, clock } = this.#deps;
    const since = clock.epochMs();
    for (;;) {
      const outcome = await book.reserveLater(hard, quote);
      if (!(outcome instanceof OverBudget)) return outcome;
      const { onLimit } = outcome.item.terms;
      if (onLimit.kind !== 'queue') return outcome;
      const until = Math.min(request.deadlineEpochMs, since + (onLimit.forMs ?? Infinity));
      if (!(await this.#turns.wait(outcome.refusal.renewsEpochMs, until))) return outcome;
      if (isGone()) throw new GatewayError('client_closed_request', 'The client left before its budget had room.');
    }
  }
}

/** It, as that route serves it. */
function servedBy(route: string, request: AdmittedRequest): AdmittedRequest {
  const nameKey = request.nameKey === undefined ? undefined : route;
  return { ...request, servedAs: route, nameKey, mustBePriced: false };
}

function termsOf(
  { request, account, route, outputLimitsAt }: Plan,
  cover: Cover | undefined,
  taken: TakenLimits | undefined,
): Terms {
  return {
    request,
    account,
    route,
    cover,
    outputLimitsAt,
    headers: taken?.headers ?? NO_HEADERS,
    over: (actual) => {
      cover?.end();
      taken?.over(actual);
    },
  };
}

/** Soft ones are the ledger's to count: a request never waits for it on their account. */
function hardOf(budgets: readonly ApplicableBudget[]): readonly ApplicableBudget[] {
  const isHard = ({ terms }: ApplicableBudget): boolean => terms.isHard;
  return budgets.every(isHard) ? budgets : budgets.filter(isHard);
}

/** A provider might read a number into what is none, and bill for as many answers. */
function refuseUncounted({ bounds }: AdmittedRequest): void {
  if (bounds.choices !== undefined) return;
  const message = "Invalid value for 'n': a positive integer is expected where a budget must cover the answers.";
  throw new GatewayError('invalid_request', message, { param: 'n' });
}

function scopeBlocked({ scope, reason }: NonNullable<ScopeRuling['blocked']>): GatewayError {
  return new GatewayError('scope_blocked', `Requests of ${scope} are switched off: ${reason}`);
}

/** The next step at once when its value is there: a request that needs nobody takes no turn of the event loop. */
function andThen<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
