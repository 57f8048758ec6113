import type { Millis } from '../../shared/clock.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import { Gcra } from '../../shared/gcra.ts';

/** How a provider behaves at a moment. */
export type Conduct =
  | { readonly kind: 'well' }
  | { readonly kind: 'slow'; readonly factor: number }
  /** Answers 500 to this share (0..1) of the calls, after `afterMs`. */
  | { readonly kind: 'failing'; readonly ratio: number; readonly afterMs: Millis }
  /** Takes the call, and nothing comes. */
  | { readonly kind: 'hanging' };

export const WELL: Conduct = { kind: 'well' };

export interface UpstreamSpec {
  /** `provider/model`. */
  readonly deployment: string;
  /** Of a request of size 1; sizes are log-normal with mean 1. */
  readonly meanMs: Millis;
  readonly conduct?: (now: Millis) => Conduct;
  /** Its own limit: beyond it calls are refused with 429 and Retry-After. */
  readonly limit?: { readonly perMinute: number; readonly burst: number; readonly isTold: boolean };
}

/** What comes of a call. */
export type Outcome =
  | { readonly kind: 'answer'; readonly firstMs: Millis; readonly totalMs: Millis }
  | { readonly kind: 'error'; readonly afterMs: Millis; readonly code: ErrorCode; readonly retryAfterMs?: Millis }
  | { readonly kind: 'hang' };

/** Share of a streamed answer's time after which its first token comes. */
const FIRST_TOKEN_AT = 0.2;
/** A refusal costs the provider nothing. */
const REFUSED_AFTER_MS = 5;

/** One deployment, as its provider runs it: as many calls at once as come. */
export class Upstream {
  readonly spec: UpstreamSpec;
  calls = 0;
  refused = 0;
  answered = 0;
  inFlight = 0;
  readonly #random: () => number;
  readonly #limit: Gcra | undefined;

  constructor(spec: UpstreamSpec, random: () => number) {
    this.spec = spec;
    this.#random = random;
    this.#limit = spec.limit && new Gcra(spec.limit);
  }

  /** What it says of its limit in the headers of an answer that begins now; as OpenAI does. */
  headers(now: Millis): Readonly<Record<string, string>> | undefined {
    const { limit } = this.spec;
    if (limit?.isTold !== true) return undefined;
    const remaining = this.#limit!.room(now);
    return {
      'x-ratelimit-limit-requests': `${limit.perMinute}`,
      'x-ratelimit-remaining-requests': `${remaining}`,
      'x-ratelimit-reset-requests': `${Math.ceil(((limit.burst - remaining) / limit.perMinute) * 60_000)}ms`,
    };
  }

  ended(isAnswered: boolean): void {
    this.inFlight--;
    if (isAnswered) this.answered++;
  }

  call(size: number, now: Millis): Outcome {
    this.calls++;
    this.inFlight++;
    const { meanMs, conduct } = this.spec;
    if (this.#limit !== undefined && !this.#limit.take(1, now)) {
      this.refused++;
      // Providers tell whole seconds.
      const retryAfterMs = Math.ceil((this.#limit.availableAt(1, now) - now) / 1_000) * 1_000;
      return { kind: 'error', afterMs: REFUSED_AFTER_MS, code: 'upstream_throttled', retryAfterMs };
    }
    const how = conduct?.(now) ?? WELL;
    if (how.kind === 'hanging') return { kind: 'hang' };
    if (how.kind === 'failing' && this.#random() < how.ratio)
      return { kind: 'error', afterMs: how.afterMs, code: 'upstream_failed' };
    const totalMs = size * meanMs * (how.kind === 'slow' ? how.factor : 1);
    return { kind: 'answer', firstMs: totalMs * FIRST_TOKEN_AT, totalMs };
  }
}
