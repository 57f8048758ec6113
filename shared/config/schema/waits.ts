export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
/** Longer waits are mistakes, and setTimeout ends at 2^31 ms. */
export const LONGEST = 7 * 24 * HOUR;

export const WAIT = { min: 1, max: LONGEST };
