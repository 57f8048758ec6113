import type { Millis } from '../../../shared/clock.ts';
import { unitsLeft } from '../../../shared/gcra.ts';
import type { Rate, Room, Standing } from './limit-terms.ts';
import { NO_STANDING } from './limit-terms.ts';

/** Finds, among a request's limits, those with the smallest share left: in requests, and in tokens. */
export class Tightest {
  #requests: Rate | undefined;
  #requestsFullInMs: Millis = 0;
  #tokens: Rate | undefined;
  #tokensFullInMs: Millis = 0;

  /** @param fullInMs when nothing will be used of it; zero or less: now */
  see(rate: Rate, fullInMs: Millis): void {
    if (rate.dimension === 'requests') {
      if (!isTighter(rate, fullInMs, this.#requests, this.#requestsFullInMs)) return;
      this.#requests = rate;
      this.#requestsFullInMs = fullInMs;
    } else if (rate.dimension === 'tokens') {
      if (!isTighter(rate, fullInMs, this.#tokens, this.#tokensFullInMs)) return;
      this.#tokens = rate;
      this.#tokensFullInMs = fullInMs;
    }
  }

  standing(): Standing {
    if (this.#requests === undefined && this.#tokens === undefined) return NO_STANDING;
    return {
      requests: this.#requests && roomOf(this.#requests, this.#requestsFullInMs),
      tokens: this.#tokens && roomOf(this.#tokens, this.#tokensFullInMs),
    };
  }
}

/** The share that is used of each: of two that are equal the smaller bucket, of which the next request takes the larger share. */
function isTighter(rate: Rate, fullInMs: Millis, other: Rate | undefined, otherFullInMs: Millis): boolean {
  if (other === undefined) return true;
  const used = usedShare(rate, fullInMs) - usedShare(other, otherFullInMs);
  return used > 0 || (used === 0 && rate.burst < other.burst);
}

function usedShare({ emissionIntervalMs, burst }: Rate, fullInMs: Millis): number {
  return Math.max(0, fullInMs) / (emissionIntervalMs * burst);
}

function roomOf({ perMinute, emissionIntervalMs, burst }: Rate, fullInMs: Millis): Room {
  const left = unitsLeft(fullInMs, emissionIntervalMs, burst, 0);
  return {
    perMinute: Math.round(perMinute),
    remaining: Math.max(0, Math.min(left, Math.round(perMinute))),
    resetMs: Math.max(0, fullInMs),
  };
}
