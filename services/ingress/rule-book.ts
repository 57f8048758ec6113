import type { Bus } from '../../shared/bus.ts';
import type { Clock, Millis } from '../../shared/clock.ts';
import { GatewayError } from '../../shared/errors.ts';
import type { LimitTerms, RulesQuery, ScopeRules } from '../../shared/messages/rules.ts';
import { RulesAnswer } from '../../shared/messages/rules.ts';
import type { ScopeName } from '../../shared/scope.ts';
import { patternOf } from '../../shared/scope.ts';
import { ledgerSubject } from '../../shared/subjects.ts';
import type { ApplicableLimit } from './core/limit-terms.ts';
import { limitOf } from './core/limit-terms.ts';
import type { Remembered, RulingSlot } from './core/ruling-memory.ts';
import { RulingMemory } from './core/ruling-memory.ts';
import type { ApplicableBudget, ScopeRuling, SpentBudget } from './core/scope-ruling.ts';

/** Older than this it is asked for anew, while it still counts. */
const FRESH_MS = 60_000;
/** While the ledger is away, what it said counts for this long. That there were no rules of a kind counts for as long as it is away. */
const STALE_MS = 10 * 60_000;
const ASK_TIMEOUT_MS = 2_000;
/** After an answer that did not come, nothing that still counts is asked for anew before. */
const REST_MS = 1_000;
/** What changes while it is asked for is asked for again; what never rests is told to come back. */
const MAX_ROUNDS = 5;
/** As `RulesQuery` allows. */
const MAX_ASKED_AT_ONCE = 64;
/** Scopes, by name; the one used least lately is asked for again. */
const MAX_KNOWN = 100_000;
/** Scopes that wait for an answer. */
const MAX_ASKING = 10_000;

interface Known {
  /** undefined: there are none. */
  readonly rules: ScopeRules | undefined;
  readonly at: Millis;
}

/** Whom there is to ask for, as the ledger said last. */
interface Kinds {
  readonly names: Set<string>;
  /** Of these by name also for how soft budgets of their pattern stand: what is not known of that refuses nobody. */
  readonly standings: ReadonlySet<string>;
  readonly at: Millis;
}

/** A question that is being asked, or will be at the end of this turn. */
interface Asking {
  readonly scopes: Set<ScopeName>;
  readonly answered: Promise<void>;
}

export interface RuleBookDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Limits of the configuration, by scope or pattern: they hold beside the ledger's. */
  readonly configured?: ReadonlyMap<ScopeName, readonly LimitTerms[]>;
}

/**
 * Which limits, budgets and blocks hold for a request. The ledger knows; what it said is remembered until it changes
 * (`forget`, by revision-watch.ts), so that a caller that is known costs no question, and where the ledger has no rules of
 * a kind nothing of that kind is asked for.
 */
export class RuleBook {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #configured: ReadonlyMap<ScopeName, readonly LimitTerms[]>;
  /** undefined: the ledger was not heard of since everything was forgotten. */
  #kinds: Kinds | undefined;
  readonly #known = new Map<ScopeName, Known>();
  readonly #rulings = new RulingMemory();
  /** Of scopes that are asked for, or will be at the end of this turn. */
  readonly #asking = new Map<ScopeName, Asking>();
  #next: Asking | undefined;
  /** Raised by whatever is forgotten: what an earlier question tells of kinds may be the old truth. */
  #generation = 0;
  /** Raised when everything is forgotten. */
  #era = 0;
  #isRefreshing = false;
  #restsUntil: Millis = -Infinity;
  /** The last question was not answered: nobody waits for what can be done without. */
  #isUnanswered = false;

  constructor({ bus, clock, configured = new Map() }: RuleBookDeps) {
    this.#bus = bus;
    this.#clock = clock;
    this.#configured = configured;
  }

  /**
   * What holds for a request that falls in these scopes: at once when all of it is known.
   * @param slot of whoever asks with the same list again
   * @throws GatewayError(`ledger_unavailable`), thrown or as a rejection, when a scope may have rules that nobody can tell now
   */
  rulesOf(scopes: readonly ScopeName[], slot: RulingSlot = {}): ScopeRuling | Promise<ScopeRuling> {
    const now = this.#clock.now();
    if (this.#kinds?.names.size === 0 && this.#configured.size === 0 && now - this.#kinds.at < FRESH_MS)
      return NO_RULES;
    const remembered = this.#rulings.get(scopes, slot);
    if (remembered !== undefined && now - remembered.at < FRESH_MS) return remembered.ruling;
    const missing = this.#missing(scopes, now);
    return missing === undefined ? this.#rule(scopes, slot) : this.#ruleAfterAnswers(scopes, slot, missing);
  }

  /** Asks what kinds of rules there are, so that the first requests need not, nor any while the ledger is away. */
  warm(): void {
    if (this.#kinds === undefined) this.#refresh([]);
  }

  /** Rules of these scopes have changed, or any may have: what is known of them is forgotten. */
  forget(scopes: readonly ScopeName[] | undefined): void {
    if (scopes?.length === 0) return;
    this.#generation++;
    this.#rulings.clear();
    this.#next = undefined;
    if (scopes === undefined) {
      this.#era++;
      this.#known.clear();
      this.#asking.clear();
      this.#kinds = undefined;
      return;
    }
    for (const scope of scopes) {
      this.#known.delete(scope);
      this.#asking.delete(scope);
      const kind = kindOf(scope);
      this.#kinds?.names.add(kind);
      if (kind.endsWith(':*')) this.#forgetSubjects(kind);
    }
  }

  /** How soft budgets stand for these scopes has changed: those that are known here are asked for anew, and count until then. */
  onStandings(scopes: readonly ScopeName[]): void {
    const now = this.#clock.now();
    const known: ScopeName[] = [];
    for (const scope of scopes) {
      // What an earlier question tells may be the old truth.
      this.#asking.delete(scope);
      const rules = this.#known.get(scope);
      if (rules === undefined) continue;
      this.#known.set(scope, { ...rules, at: Math.min(rules.at, now - FRESH_MS) });
      known.push(scope);
    }
    if (scopes.length === 0) return;
    this.#next = undefined;
    this.#rulings.clear();
    if (known.length > 0) this.#refresh(known);
  }

  /** How the budgets of a pattern stand for each. */
  #forgetSubjects(pattern: ScopeName): void {
    const isOfIt = (scope: ScopeName): boolean => patternOf(scope) === pattern;
    for (const scope of this.#known.keys()) if (isOfIt(scope)) this.#known.delete(scope);
    for (const scope of this.#asking.keys()) if (isOfIt(scope)) this.#asking.delete(scope);
  }

  /** What must be told before anything can be said; what is merely old is asked for besides. undefined: nothing. */
  #missing(scopes: readonly ScopeName[], now: Millis): readonly ScopeName[] | undefined {
    if (this.#kinds === undefined) return relevantOf(scopes, undefined);
    const missing: ScopeName[] = [];
    const old: ScopeName[] = [];
    for (const scope of relevantOf(scopes, this.#kinds)) {
      const age = now - (this.#known.get(scope)?.at ?? -Infinity);
      if (age < FRESH_MS) continue;
      if (age >= STALE_MS && !(this.#isUnanswered && this.#isDispensable(scope))) {
        missing.push(scope);
        continue;
      }
      if (age >= STALE_MS) this.#known.delete(scope);
      old.push(scope);
    }
    if (missing.length > 0) return missing;
    if ((old.length > 0 || now - this.#kinds.at >= FRESH_MS) && now >= this.#restsUntil) this.#refresh(old);
    return undefined;
  }

  async #ruleAfterAnswers(
    scopes: readonly ScopeName[],
    slot: RulingSlot,
    first: readonly ScopeName[],
  ): Promise<ScopeRuling> {
    let missing = first;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      try {
        await this.#ask(missing);
      } catch (failure) {
        if (!missing.every((scope) => this.#isDispensable(scope))) throw failure;
        return this.#rule(scopes, slot);
      }
      const still = this.#missing(scopes, this.#clock.now());
      if (still === undefined) return this.#rule(scopes, slot);
      missing = still;
    }
    if (missing.every((scope) => this.#isDispensable(scope))) return this.#rule(scopes, slot);
    throw away();
  }

  /** Nothing but how soft budgets stand would be told of it. */
  #isDispensable(scope: ScopeName): boolean {
    const kind = kindOf(scope);
    return this.#kinds?.names.has(kind) === false && this.#kinds.standings.has(kind);
  }

  #rule(scopes: readonly ScopeName[], slot: RulingSlot): ScopeRuling {
    const remembered = this.#assemble(scopes);
    this.#rulings.set(scopes, slot, remembered);
    return remembered.ruling;
  }

  #assemble(scopes: readonly ScopeName[]): Remembered {
    let at = this.#kinds?.at ?? -Infinity;
    let blocked: ScopeRuling['blocked'];
    const limits: ApplicableLimit[] = [];
    const budgets: ApplicableBudget[] = [];
    const over: SpentBudget[] = [];
    for (const subject of scopes) {
      const spent = this.#known.get(subject)?.rules?.over;
      for (const scope of namesOf(subject)) {
        for (const terms of this.#configured.get(scope) ?? []) limits.push(limitOf(scope, subject, terms));
        const known = this.#known.get(scope);
        if (known === undefined) {
          // It is put together anew until that is known.
          if (this.#isDispensable(scope)) at = -Infinity;
          continue;
        }
        at = Math.min(at, known.at);
        if (known.rules === undefined) continue;
        // Used last: the bound takes others first.
        this.#known.delete(scope);
        this.#known.set(scope, known);
        if (known.rules.blocked !== undefined) blocked ??= { scope, reason: known.rules.blocked.reason };
        for (const terms of known.rules.limits) limits.push(limitOf(scope, subject, terms));
        for (const terms of known.rules.budgets) {
          const item: ApplicableBudget = { subject, terms };
          budgets.push(item);
          const end = spent?.find(({ budget }) => budget === terms.id);
          if (end !== undefined) over.push({ item, untilEpochMs: end.untilEpochMs ?? Infinity });
        }
      }
    }
    if (blocked === undefined && limits.length === 0 && budgets.length === 0) return { ruling: NO_RULES, at };
    const ruling: ScopeRuling = {
      ...(blocked !== undefined && { blocked }),
      ...{ limits, budgets },
      ...(over.length > 0 && { over }),
    };
    return { ruling, at };
  }

  /** Asks for what still counts; one such question at a time. */
  #refresh(scopes: readonly ScopeName[]): void {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    this.#ask(scopes).then(
      () => (this.#isRefreshing = false),
      () => (this.#isRefreshing = false),
    );
  }

  /** Settles when these were answered. One question for all that is asked for in one turn of the event loop, and not twice. */
  async #ask(scopes: readonly ScopeName[]): Promise<void> {
    const running = new Set(scopes.flatMap((scope) => this.#asking.get(scope)?.answered ?? []));
    const fresh = scopes.filter((scope) => !this.#asking.has(scope));
    if (this.#asking.size + fresh.length > MAX_ASKING)
      throw new GatewayError('overloaded', 'The rules of too many callers are being asked for.');
    if (fresh.length > 0 || running.size === 0) {
      const asking = (this.#next ??= this.#atTurnEnd());
      for (const scope of fresh) {
        asking.scopes.add(scope);
        this.#asking.set(scope, asking);
      }
      running.add(asking.answered);
    }
    await Promise.all(running);
  }

  #atTurnEnd(): Asking {
    const ask = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#next === asking) this.#next = undefined;
      const scopes = [...asking.scopes];
      const questions: Array<Promise<void>> = [];
      for (let from = 0; from === 0 || from < scopes.length; from += MAX_ASKED_AT_ONCE)
        questions.push(this.#question(asking, scopes.slice(from, from + MAX_ASKED_AT_ONCE)));
      try {
        await Promise.all(questions);
      } finally {
        for (const scope of scopes) if (this.#asking.get(scope) === asking) this.#asking.delete(scope);
      }
    };
    const asking: Asking = { scopes: new Set(), answered: ask() };
    return asking;
  }

  async #question(asking: Asking, scopes: readonly ScopeName[]): Promise<void> {
    const now = this.#clock.now();
    const [era, generation] = [this.#era, this.#generation];
    const question: RulesQuery = { v: 1, scopes: [...scopes] };
    let answer: RulesAnswer;
    try {
      answer = await this.#bus.request(ledgerSubject('rules'), question, RulesAnswer, ASK_TIMEOUT_MS);
    } catch (cause) {
      this.#restsUntil = this.#clock.now() + REST_MS;
      this.#isUnanswered = true;
      throw away(cause);
    }
    this.#isUnanswered = false;
    if (era !== this.#era) return;
    const [names, standings] = [new Set(answer.kinds), new Set(answer.standings)];
    const { names: before = new Set<string>(), standings: standingsBefore = new Set<string>() } = this.#kinds ?? {};
    // What changed meanwhile added its kind, of which the answer may not know yet.
    this.#kinds = {
      names: generation === this.#generation ? names : names.union(before),
      ...{ standings, at: now },
    };
    for (const scope of scopes) {
      // Of one that was forgotten meanwhile it may be the old truth.
      if (this.#asking.get(scope) !== asking) continue;
      this.#known.delete(scope);
      if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
      this.#known.set(scope, { rules: answer.rules[scope], at: now });
    }
    // Those that were put together without the first rule of a kind. Of what was asked for anew, all are old by themselves.
    if (!names.isSubsetOf(before) || !standings.isSubsetOf(standingsBefore)) this.#rulings.clear();
  }
}

const NO_RULES: ScopeRuling = { limits: [], budgets: [] };

/** The names by which a scope may have rules: its own, and its pattern's. */
function namesOf(scope: ScopeName): readonly ScopeName[] {
  const pattern = patternOf(scope);
  return pattern === scope ? [scope] : [scope, pattern];
}

/** @param kinds those that have rules; undefined: any may */
function relevantOf(scopes: readonly ScopeName[], kinds: Kinds | undefined): ScopeName[] {
  if (kinds?.names.size === 0) return [];
  const names = scopes.flatMap(namesOf);
  if (kinds === undefined) return names;
  return names.filter((name) => {
    const kind = kindOf(name);
    return kinds.names.has(kind) || kinds.standings.has(kind);
  });
}

/** As `RulesAnswer.kinds` has it: `user` of `user:ada`, `user:*` of itself. */
function kindOf(scope: ScopeName): string {
  if (scope.endsWith(':*') && patternOf(scope) === scope) return scope;
  const colon = scope.indexOf(':');
  return colon < 0 ? scope : scope.slice(0, colon);
}

function away(cause?: unknown): GatewayError {
  return new GatewayError('ledger_unavailable', 'The limits and budgets of this request cannot be told now.', {
    retryAfterMs: 1_000,
    cause,
  });
}
