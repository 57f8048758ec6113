import type { Millis } from '../../../shared/clock.ts';
import type { NanoUsd } from '../../../shared/money.ts';

/** A rolling budget remembers its spending in this many parts of its length; each leaves as a whole. */
const PARTS = 60;

/** How long a part is. */
export function partMsOf(rollingMs: Millis): Millis {
  return Math.ceil(rollingMs / PARTS);
}

/** When the part began that a moment falls in: Unix epoch milliseconds. */
export function partOf(rollingMs: Millis, epochMs: Millis): Millis {
  const partMs = partMsOf(rollingMs);
  return Math.floor(epochMs / partMs) * partMs;
}

/**
 * Parts that began at this moment or before have left the length in full. A part counts until its last instant has left,
 * so a rolling budget looks back a sixtieth further than its length at most, never less far.
 */
export function leftBefore(rollingMs: Millis, nowEpochMs: Millis): Millis {
  return nowEpochMs - rollingMs - partMsOf(rollingMs);
}

export interface Part {
  readonly startsAt: Millis;
  readonly spent: NanoUsd;
}

/**
 * When, as its parts leave, a rolling budget has `missing` more than now. undefined: not by the leaving of these parts.
 * @param parts oldest first
 */
export function freesAt(rollingMs: Millis, parts: readonly Part[], missing: NanoUsd): Millis | undefined {
  let freed = 0n;
  for (const { startsAt, spent } of parts) {
    freed += spent;
    if (freed >= missing) return startsAt + partMsOf(rollingMs) + rollingMs;
  }
  return undefined;
}
