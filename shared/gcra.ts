import type { Millis } from './clock.ts';

const MINUTE_MS = 60_000;
/** A unit is there when all but this share of it is: sums of fractions of a millisecond are a little off. */
const ROUNDING_UNITS = 1e-3;

export interface GcraConfig {
  /** Units per minute; undefined: no limit but what the provider tells. */
  readonly perMinute: number | undefined;
  /** Units at once after a time of silence; undefined: as many as come in a minute. */
  readonly burst: number | undefined;
}

/** What a provider's answer said of its limit. */
export interface ToldLimit {
  readonly perMinute?: number | undefined;
  readonly remaining?: number | undefined;
  readonly resetMs?: number | undefined;
}

/**
 * When this cost fits into a bucket by its theoretical arrival time alone; in the past: it fits now. A cost above the burst
 * fits into a full bucket.
 * @param theoreticalArrival when the bucket is full again
 * @param emissionIntervalMs in which one unit comes back
 */
export function fitsAt(theoreticalArrival: Millis, emissionIntervalMs: Millis, burst: number, cost: number): Millis {
  const left = burst - Math.min(cost, burst) + ROUNDING_UNITS;
  return theoreticalArrival - left * emissionIntervalMs;
}

/** The theoretical arrival time once this cost is taken. A time that has passed means full: what is given back beyond that is lost by itself. */
export function arrivalAfter(
  theoreticalArrival: Millis,
  emissionIntervalMs: Millis,
  cost: number,
  now: Millis,
): Millis {
  return Math.max(theoreticalArrival, now) + cost * emissionIntervalMs;
}

/** Whole units that are there now; below zero in debt. */
export function unitsLeft(theoreticalArrival: Millis, emissionIntervalMs: Millis, burst: number, now: Millis): number {
  return Math.floor(burst - Math.max(0, theoreticalArrival - now) / emissionIntervalMs + ROUNDING_UNITS);
}

interface Rate {
  readonly perMinute: number;
  readonly emissionIntervalMs: Millis;
  readonly burst: number;
}

/**
 * Rate limit by the Generic Cell Rate Algorithm in its form of virtual scheduling (ITU-T I.371, annex A): a token bucket
 * whose whole state is one time, the theoretical arrival time, at which the bucket would be full again.
 *
 * Costs are whole units: 1 for a request, n for tokens. One above the burst is admitted by a full bucket, which is then in
 * debt: it is late, never starved. So in any time W at most `burst + W × rate` is admitted, or the largest cost in place of
 * the burst where that is larger; what `charge` adds was admitted by somebody else.
 */
export class Gcra {
  readonly #config: GcraConfig;
  #rate: Rate | undefined;
  #toldPerMinute: number | undefined;
  #theoreticalArrival: Millis = -Infinity;
  #blockedUntil: Millis | undefined;

  constructor(config: GcraConfig) {
    this.#config = config;
    this.#rate = effectiveRate(config, undefined);
  }

  /** What holds now: configured or told, whichever is less. undefined: no limit. */
  get perMinute(): number | undefined {
    return this.#rate?.perMinute;
  }

  take(cost: number, now: Millis): boolean {
    if (this.availableAt(cost, now) > now) return false;
    this.charge(cost, now);
    return true;
  }

  /** When this cost would be admitted if nothing else came: `now` if at once. */
  availableAt(cost: number, now: Millis): Millis {
    const earliest = Math.max(now, this.#blockedUntil ?? now);
    if (this.#rate === undefined) return earliest;
    const { emissionIntervalMs, burst } = this.#rate;
    return Math.max(earliest, fitsAt(this.#theoreticalArrival, emissionIntervalMs, burst, cost));
  }

  /** Whole units available now: 0 when blocked or in debt, Infinity without a limit. */
  room(now: Millis): number {
    if (this.#blockedUntil !== undefined && now < this.#blockedUntil) return 0;
    if (this.#rate === undefined) return Infinity;
    const { emissionIntervalMs, burst } = this.#rate;
    return Math.max(0, unitsLeft(this.#theoreticalArrival, emissionIntervalMs, burst, now));
  }

  /** Units come back, for the estimate was too high; never beyond full. */
  give(cost: number, now: Millis): void {
    this.charge(-cost, now);
  }

  /** Units are gone whether or not there is room, for the estimate was too low. */
  charge(cost: number, now: Millis): void {
    if (this.#rate === undefined) return;
    this.#theoreticalArrival = arrivalAfter(this.#theoreticalArrival, this.#rate.emissionIntervalMs, cost, now);
  }

  /** Nothing before that, as a 429 with Retry-After says; of two such times the later counts. */
  blockUntil(at: Millis): void {
    this.#blockedUntil = Math.max(at, this.#blockedUntil ?? at);
  }

  /** It may have passed. */
  get blockedUntil(): Millis | undefined {
    return this.#blockedUntil;
  }

  /**
   * A provider told its limit. Believed is what is tighter than our own account: a limit below the configured one, a
   * remaining below our room. A larger one never raises what is configured; the last limit told holds. Nothing remaining
   * is an empty bucket, which fills at the rate: the reset that most providers tell is the time at which it would be full.
   * Only where no rate is known does it block until then.
   */
  learn({ perMinute, remaining, resetMs }: ToldLimit, now: Millis): void {
    if (perMinute !== undefined && perMinute > 0 && perMinute !== this.#toldPerMinute) this.#adopt(perMinute, now);
    if (remaining === undefined) return;
    if (this.#rate !== undefined) {
      const used = Math.max(0, this.#rate.burst - remaining);
      this.#theoreticalArrival = Math.max(this.#theoreticalArrival, now + used * this.#rate.emissionIntervalMs);
    } else if (remaining <= 0 && resetMs !== undefined) {
      this.blockUntil(now + resetMs);
    }
  }

  #adopt(toldPerMinute: number, now: Millis): void {
    const before = this.#rate;
    const rate = effectiveRate(this.#config, toldPerMinute);
    this.#toldPerMinute = toldPerMinute;
    this.#rate = rate;
    if (before === undefined || rate === undefined) return;
    // What was used stays used; debts of the old rate could be hours at the new one.
    const used = Math.min(this.#used(before, now), rate.burst);
    this.#theoreticalArrival = now + used * rate.emissionIntervalMs;
  }

  #used(rate: Rate, now: Millis): number {
    return Math.max(0, this.#theoreticalArrival - now) / rate.emissionIntervalMs;
  }
}

function effectiveRate(config: GcraConfig, toldPerMinute: number | undefined): Rate | undefined {
  const perMinute = Math.min(config.perMinute ?? Infinity, toldPerMinute ?? Infinity);
  if (perMinute === Infinity) return undefined;
  // A provider's own bucket holds no more than its minute.
  const burst = Math.min(config.burst ?? perMinute, toldPerMinute ?? Infinity);
  return { perMinute, emissionIntervalMs: MINUTE_MS / perMinute, burst };
}
