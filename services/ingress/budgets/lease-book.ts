import type { Clock, Millis } from '../../../shared/clock.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { Log } from '../../../shared/log.ts';
import type { LeaseAnswer, LeaseAsk } from '../../../shared/messages/lease.ts';
import type { BudgetTerms } from '../../../shared/messages/rules.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import type { Lease } from '../core/holding.ts';
import { Holding } from '../core/holding.ts';
import type { Quote } from '../core/quote.ts';
import type { ApplicableBudget } from '../core/scope-ruling.ts';
import type { LedgerLeases } from './ledger-leases.ts';
import { LeaseReports } from './lease-reports.ts';
import { Reservation } from './reservation.ts';

/** Budgets and subjects that leases are held of; beyond, one that nobody uses is given back, or the request is refused. */
const MAX_HOLDINGS = 100_000;
/** Looked at for one to forget, oldest first. */
const MAX_LOOKED_AT = 64;
/** Requests that wait for the ledger; the next is told `overloaded`. */
const MAX_WAITING = 10_000;
/** A request waits this long for a lease; a ledger that needs longer is away. */
const WAIT_MS: Millis = 2_000;
/** An account reaches the ledger within a second or two, as long as nothing is away. */
const UNSURE_FOR_MS: Millis = 10_000;
/** Attempts that ended unheard; beyond, the first of them is taken to be in the ledger by now. */
const MAX_UNSURE = 65_536;
/** Leases live for 15 s: two renewals may be lost. */
const RENEW_EVERY_MS: Millis = 5_000;
/** Of one message (messages/lease.ts). */
const MAX_ASKED = 64;

export type Refusal = NonNullable<LeaseAnswer['refused']>;

/** A budget has too little left for a request, here and everywhere. */
export class OverBudget {
  readonly item: ApplicableBudget;
  readonly refusal: Refusal;
  /** What was asked of it, nano-dollars. */
  readonly needNanoUsd: number;

  constructor(item: ApplicableBudget, refusal: Refusal, needNanoUsd: number) {
    this.item = item;
    this.refusal = refusal;
    this.needNanoUsd = needNanoUsd;
  }
}

interface Waiter {
  readonly quote: Quote;
  readonly since: Millis;
  readonly resolve: (outcome: Reservation | OverBudget) => void;
  readonly reject: (failure: GatewayError) => void;
}

/** Requests that wait for the same budgets, served in the order in which they came; one question at a time is asked for them. */
interface Line {
  readonly key: string;
  items: readonly ApplicableBudget[];
  readonly waiters: Set<Waiter>;
}

export interface LeaseBookDeps {
  readonly ledger: LedgerLeases;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The slices of budgets that this ingress holds, and the reservations from them. A request is reserved in all of its hard
 * budgets or in none: at once while the slices last, else after the ledger was asked for more. More is asked for ahead
 * of need; what is not used goes back with the next report, and at once when another ingress calls for it.
 */
export class LeaseBook {
  readonly #deps: LeaseBookDeps;
  /** By `budget subject`, in the order of their last look (`#room`). */
  readonly #holdings = new Map<string, Holding<Refusal>>();
  readonly #byItem = new WeakMap<ApplicableBudget, Holding<Refusal>>();
  readonly #lines = new Map<string, Line>();
  readonly #reports: LeaseReports;
  /** What attempts may have cost that ended unheard, oldest first. */
  readonly #unsure = new Set<{ readonly leases: readonly Lease[]; readonly nanoUsd: number; readonly until: Millis }>();
  #waiting = 0;
  #renewAt: Millis = 0;
  #isRenewing = false;

  constructor(deps: LeaseBookDeps) {
    this.#deps = deps;
    this.#reports = new LeaseReports(deps);
  }

  /** Requests that wait for the ledger. */
  get waiting(): number {
    return this.#waiting;
  }

  /** From what is in memory. undefined: that does not cover it; ask `reserveLater`. */
  reserve(items: readonly ApplicableBudget[], quote: Quote): Reservation | undefined {
    return this.#reserve(items, quote, true);
  }

  /** @param isLast nobody waits behind it, so that more may be asked for ahead of need */
  #reserve(items: readonly ApplicableBudget[], quote: Quote, isLast: boolean): Reservation | undefined {
    const { clock } = this.#deps;
    const { nanoUsd } = quote;
    // What is free of charge needs no money, not even of a budget that has none.
    if (nanoUsd === 0) return new Reservation(quote, [], clock.epochMs(), this.#holdBack);
    const now = clock.now();
    const holdings = new Array<Holding<Refusal>>(items.length);
    const leases = new Array<Lease>(items.length);
    for (let at = 0; at < items.length; at++) {
      const holding = this.#known(items[at] as ApplicableBudget);
      const lease = holding?.find(nanoUsd, now);
      if (holding === undefined || lease === undefined) return undefined;
      holdings[at] = holding;
      leases[at] = lease;
    }
    const reservation = new Reservation(quote, leases, clock.epochMs(), this.#holdBack);
    for (let at = 0; at < holdings.length; at++) {
      const [holding, lease] = [holdings[at] as Holding<Refusal>, leases[at] as Lease];
      holding.noteDemand(nanoUsd, now);
      if (isLast && holding.isLow(lease, now)) this.#prefetch(holding, nanoUsd, now);
    }
    return reservation;
  }

  /**
   * From what the ledger grants, and what other ingresses give back.
   * @throws GatewayError(`ledger_unavailable`) when it does not answer in time, `overloaded` when too many wait
   */
  reserveLater(items: readonly ApplicableBudget[], quote: Quote): Promise<Reservation | OverBudget> {
    const now = this.#deps.clock.now();
    for (const item of items) {
      const refusal = this.#holdings.get(keyOf(item))?.refusalOf(quote.nanoUsd, now);
      if (refusal !== undefined) return Promise.resolve(new OverBudget(item, refusal, quote.nanoUsd));
    }
    if (this.#waiting >= MAX_WAITING)
      return Promise.reject(new GatewayError('overloaded', 'Too many requests wait for their budgets.'));
    const { promise, resolve, reject } = Promise.withResolvers<Reservation | OverBudget>();
    const sorted = items.toSorted(inOrder);
    const key = sorted.map(keyOf).join('\n');
    let line = this.#lines.get(key);
    const isNew = line === undefined;
    if (line === undefined) {
      line = { key, items: sorted, waiters: new Set() };
      this.#lines.set(key, line);
    }
    line.waiters.add({ quote, since: now, resolve, reject });
    this.#waiting++;
    if (isNew) void this.#serve(line);
    return promise;
  }

  /** Another ingress needs what is free here. Resolves once it is the ledger's again. */
  async giveBack(budget: string, subject: ScopeName): Promise<void> {
    const holding = this.#holdings.get(`${budget} ${subject}`);
    holding?.rest(this.#deps.clock.now());
    // What was asked ahead of need is not needed now.
    await holding?.asked;
    await this.#reports.giveBack(holding);
  }

  /** Looks at the clock: requests that have waited for too long, leases to renew. */
  sweep(now: Millis): void {
    for (const line of this.#lines.values()) {
      for (const waiter of line.waiters) {
        if (now - waiter.since < WAIT_MS) break;
        this.#leave(line, waiter);
        waiter.reject(ledgerAway());
      }
    }
    for (const unsure of this.#unsure) {
      if (now < unsure.until && this.#unsure.size <= MAX_UNSURE) break;
      this.#unsure.delete(unsure);
      for (const lease of unsure.leases) lease.reserved -= unsure.nanoUsd;
    }
    if (now < this.#renewAt || this.#isRenewing) return;
    this.#renewAt = now + RENEW_EVERY_MS;
    if (this.#holdings.size === 0 && this.#reports.closing === 0) return;
    this.#isRenewing = true;
    void this.#renew().finally(() => (this.#isRenewing = false));
  }

  /** Everything goes back: this ingress ends. */
  async stop(): Promise<void> {
    for (const line of this.#lines.values()) {
      for (const { reject } of line.waiters)
        reject(new GatewayError('shutting_down', 'This gateway is shutting down.'));
      line.waiters.clear();
    }
    this.#waiting = 0;
    // What is granted late goes back, too.
    await Promise.all([...this.#holdings.values()].flatMap(({ asked }) => asked ?? []));
    await this.#reports.end(this.#holdings.values());
    this.#holdings.clear();
  }

  readonly #holdBack = (leases: readonly Lease[], nanoUsd: number): void => {
    this.#unsure.add({ leases, nanoUsd, until: this.#deps.clock.now() + UNSURE_FOR_MS });
  };

  async #serve(line: Line): Promise<void> {
    for (;;) {
      this.#serveFromMemory(line);
      const head = firstOf(line.waiters);
      if (head === undefined) break;
      const { nanoUsd } = head.quote;
      try {
        const refusal = await this.#askFor(line, nanoUsd);
        if (refusal === undefined) continue;
        if (refusal.isGone === true) {
          line.items = line.items.filter(({ terms }) => terms.id !== refusal.budget);
          continue;
        }
        this.#serveFromMemory(line);
        const last = (await this.#collect(refusal)) ? await this.#askFor(line, nanoUsd) : refusal;
        if (last !== undefined) this.#refuse(line, last, nanoUsd);
      } catch (failure) {
        this.#fail(line, failure);
      }
    }
    this.#lines.delete(line.key);
  }

  /** Reserves for as many as what is here covers, in their order. */
  #serveFromMemory(line: Line): void {
    for (const waiter of line.waiters) {
      const reservation = this.#reserve(line.items, waiter.quote, line.waiters.size === 1);
      if (reservation === undefined) return;
      this.#leave(line, waiter);
      waiter.resolve(reservation);
    }
  }

  /** Asks the ledger for what the line lacks. undefined: it was granted. */
  async #askFor(line: Line, need: number): Promise<Refusal | undefined> {
    const { clock } = this.#deps;
    const now = clock.now();
    let waited = 0;
    for (const { quote } of line.waiters) waited += quote.nanoUsd;
    const lacking = line.items
      .map((item) => this.#holdingOf(item, now))
      .filter((holding) => holding.find(need, now) === undefined);
    // What comes of a question that is on its way is looked at first.
    const asked = lacking.flatMap((holding) => holding.asked ?? []);
    if (asked.length > 0) return void (await Promise.all(asked));
    return lacking.length === 0 ? undefined : this.#ask(lacking, need, waited, now);
  }

  #prefetch(holding: Holding<Refusal>, need: number, now: Millis): void {
    const rest = (): void => holding.rest(this.#deps.clock.now());
    // Refused or unanswered: whoever needs it will ask.
    this.#ask([holding], need, 0, now).then((refusal) => refusal !== undefined && rest(), rest);
  }

  /** @param waited what the requests that wait for it need together */
  #ask(
    holdings: ReadonlyArray<Holding<Refusal>>,
    need: number,
    waited: number,
    now: Millis,
  ): Promise<Refusal | undefined> {
    const items: LeaseAsk['items'] = holdings.slice(0, MAX_ASKED).map((holding) => ({
      budget: holding.budget,
      subject: holding.subject,
      need,
      want: Math.min(Number.MAX_SAFE_INTEGER, Math.max(need, waited, holding.recentDemand(now) - holding.free(now))),
    }));
    const answered = this.#deps.ledger.ask(items).then((answer) => this.#take(answer, now));
    const asked = answered
      .catch(() => undefined)
      .then(() => holdings.forEach((holding) => (holding.asked = undefined)));
    for (const holding of holdings) holding.asked = asked;
    return answered;
  }

  /** @param askedAt from here on the time of the grants is counted */
  #take({ grants, refused }: LeaseAnswer, askedAt: Millis): Refusal | undefined {
    for (const { lease: id, budget, subject, amountNanoUsd, ttlMs, windowEndsInMs = Infinity } of grants) {
      const holding = this.#holdingOf({ terms: { id: budget }, subject }, askedAt);
      const [expiresAt, windowEndsAt] = [askedAt + ttlMs, askedAt + windowEndsInMs];
      holding.add({ id, amount: amountNanoUsd, reserved: 0, consumed: 0, expiresAt, windowEndsAt });
      holding.granted();
    }
    return refused;
  }

  /** Has what is free of a budget brought back to the ledger, here and elsewhere. false: nobody has any. */
  async #collect({ budget, subject, holders }: Refusal): Promise<boolean> {
    const own = this.#holdings.get(`${budget} ${subject}`);
    const isHeldHere = own !== undefined && own.leases.length > 0;
    if (!isHeldHere && holders.length === 0) return false;
    await Promise.all([
      isHeldHere ? this.giveBack(budget, subject) : undefined,
      this.#deps.ledger.recall(budget, subject, holders),
    ]);
    return true;
  }

  /** All that need as much are told; who needs less is asked for apart. */
  #refuse(line: Line, refusal: Refusal, need: number): void {
    this.#serveFromMemory(line);
    const { clock } = this.#deps;
    this.#holdings.get(`${refusal.budget} ${refusal.subject}`)?.refused(need, refusal, clock.now());
    const item = line.items.find(({ terms, subject }) => terms.id === refusal.budget && subject === refusal.subject);
    if (item === undefined) return this.#fail(line, new Error('a refusal of a budget that nobody asked for'));
    for (const waiter of line.waiters) {
      if (waiter.quote.nanoUsd < need) continue;
      this.#leave(line, waiter);
      waiter.resolve(new OverBudget(item, refusal, waiter.quote.nanoUsd));
    }
  }

  #fail(line: Line, cause: unknown): void {
    const failure = cause instanceof GatewayError && cause.code === 'overloaded' ? cause : ledgerAway(cause);
    for (const waiter of line.waiters) waiter.reject(failure);
    this.#waiting -= line.waiters.size;
    line.waiters.clear();
  }

  #leave(line: Line, waiter: Waiter): void {
    if (line.waiters.delete(waiter)) this.#waiting--;
  }

  /** By the item, which is the same object for all requests of a caller: a key is put together for the first of them alone. */
  #known(item: ApplicableBudget): Holding<Refusal> | undefined {
    const known = this.#byItem.get(item);
    if (known?.isForgotten === false) return known;
    const holding = this.#holdings.get(keyOf(item));
    if (holding !== undefined) this.#byItem.set(item, holding);
    return holding;
  }

  #holdingOf(
    { terms: { id }, subject }: { readonly terms: Pick<BudgetTerms, 'id'>; readonly subject: ScopeName },
    now: Millis,
  ): Holding<Refusal> {
    const key = `${id} ${subject}`;
    let holding = this.#holdings.get(key);
    if (holding === undefined) {
      if (this.#holdings.size >= MAX_HOLDINGS) this.#makeRoom();
      holding = new Holding(id, subject, now);
      this.#holdings.set(key, holding);
    }
    return holding;
  }

  /** Forgets one that nothing is reserved from: of the oldest preferably one that was not used since it was looked at last. */
  #makeRoom(): void {
    let found: [string, Holding<Refusal>] | undefined;
    let looked = 0;
    for (const [key, holding] of this.#holdings) {
      if (++looked > MAX_LOOKED_AT) break;
      const isFree = holding.asked === undefined && holding.reserved === 0;
      if (isFree && (found === undefined || !holding.isUsed)) found = [key, holding];
      if (isFree && !holding.isUsed) break;
      holding.isUsed = false;
      this.#holdings.delete(key);
      this.#holdings.set(key, holding);
    }
    if (found === undefined) throw new GatewayError('overloaded', 'Too many budgets are in use at once.');
    this.#reports.forget(found[1]);
    this.#forget(...found);
  }

  async #renew(): Promise<void> {
    await this.#reports.renew([...this.#holdings.values()]);
    const now = this.#deps.clock.now();
    for (const [key, holding] of this.#holdings) {
      const isIdle = holding.leases.length === 0 && holding.recentDemand(now) === 0 && holding.asked === undefined;
      if (isIdle) this.#forget(key, holding);
    }
  }

  #forget(key: string, holding: Holding<Refusal>): void {
    holding.isForgotten = true;
    this.#holdings.delete(key);
  }
}

function keyOf({ terms, subject }: ApplicableBudget): string {
  return `${terms.id} ${subject}`;
}

/** The one order in which the ledger locks rows. */
function inOrder(a: ApplicableBudget, b: ApplicableBudget): number {
  if (a.terms.id !== b.terms.id) return a.terms.id < b.terms.id ? -1 : 1;
  return a.subject < b.subject ? -1 : Number(a.subject > b.subject);
}

function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item;
  return undefined;
}

function ledgerAway(cause?: unknown): GatewayError {
  return new GatewayError('ledger_unavailable', 'The budgets of this request cannot be checked now.', {
    retryAfterMs: 1_000,
    cause,
  });
}
