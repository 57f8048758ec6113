import type { Millis } from '../../../shared/clock.ts';

type Range = readonly [min: number, max: number];

/** How fast the provider pretends to think. */
export interface Pace {
  readonly firstTokenMs: Range;
  /** Each answer draws its own mean; its tokens scatter around it. */
  readonly tokenMs: Range;
}

/** 60 to 90 tokens a second: a mid-sized model at a busy provider. */
export const REALISTIC: Pace = { firstTokenMs: [250, 400], tokenMs: [1_000 / 90, 1_000 / 60] };
export const INSTANT: Pace = { firstTokenMs: [0, 0], tokenMs: [0, 0] };

/** Longer answers go faster, so that a plain one comes well before anybody's time limit. */
const LONGEST_MS = 30_000;
/** A token takes 0.6 to 1.4 of the mean. */
const JITTER = 0.4;

/** The tempo of one answer. */
export interface Tempo {
  readonly firstTokenMs: Millis;
  /** From one token to the next; another each time. */
  readonly nextTokenMs: () => Millis;
  /** All of the answer at once. */
  readonly totalMs: Millis;
}

export function drawTempo(pace: Pace, tokens: number, random: () => number): Tempo {
  const draw = ([min, max]: Range): number => min + (max - min) * random();
  const firstTokenMs = draw(pace.firstTokenMs);
  const meanMs = Math.min(draw(pace.tokenMs), LONGEST_MS / Math.max(tokens, 1));
  return {
    firstTokenMs,
    nextTokenMs: () => meanMs * (1 - JITTER + 2 * JITTER * random()),
    totalMs: firstTokenMs + meanMs * tokens,
  };
}
