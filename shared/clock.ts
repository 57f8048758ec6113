/** Milliseconds. Monotonic when it comes from `Clock.now`, Unix epoch when its name says so (`deadlineEpochMs`). */
export type Millis = number;

/** The only source of time. Made once, in a composition root; everything else is handed it, or handed a `now`. */
export interface Clock {
  /** Monotonic milliseconds with a fraction; differences only. */
  readonly now: () => Millis;
  /** Wall-clock milliseconds since the Unix epoch; for deadlines that cross processes and for records. */
  readonly epochMs: () => number;
}

export const systemClock: Clock = { now: () => performance.now(), epochMs: () => Date.now() };
