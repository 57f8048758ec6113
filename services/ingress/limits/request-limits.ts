import type { Clock, Millis } from '../../../shared/clock.ts';
import { rateLimitHeaders, refusalError } from '../core/limit-headers.ts';
import type { ActualUse, LimitAsk, Refused, Taken } from '../core/limit-terms.ts';
import type { HeaderList } from '../core/response-headers.ts';
import type { Limits } from './limits.ts';

/** What a request took of its limits. One of its two methods is called, once. */
export interface TakenLimits {
  /** How the tightest of them stand, for its answer. */
  readonly headers: HeaderList;
  /** The request is over, and used so much. */
  over(actual: ActualUse): void;
  /** It is not served after all. */
  giveBack(): void;
}

/** The limits of all scopes, in the words of HTTP: a refusal is an error, and what was taken has headers. */
export class RequestLimits {
  readonly #limits: Limits;
  readonly #clock: Clock;

  constructor(limits: Limits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** At once, but where Redis must be asked. @throws GatewayError(`rate_limit_exceeded`), or rejects with it */
  take(ask: LimitAsk, now: Millis): TakenLimits | Promise<TakenLimits> {
    const outcome = this.#limits.take(ask, now);
    return outcome instanceof Promise ? outcome.then((found) => this.#answer(found)) : this.#answer(outcome);
  }

  #answer(outcome: Taken | Refused): TakenLimits {
    if (outcome.kind === 'refused') throw refusalError(outcome);
    return {
      headers: rateLimitHeaders(outcome.standing),
      over: (actual) => this.#limits.end(outcome, actual, this.#clock.now()),
      giveBack: () => this.#limits.giveBack(outcome, this.#clock.now()),
    };
  }
}
