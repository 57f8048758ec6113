const MILLIS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d+) ?(ms|s|m|h|d)$/;

/**
 * `250ms`, `30s`, `5m`, `2h`, `7d` → milliseconds. One whole number and one unit: `90s`, not `1m30s` or `1.5m`.
 * @throws RangeError for anything else; a number without a unit is never guessed at.
 */
export function parseDuration(text: string): number {
  const match = DURATION.exec(text.trim());
  const perUnit = MILLIS[match?.[2] ?? ''];
  const millis = perUnit === undefined ? Number.NaN : Number(match?.[1]) * perUnit;
  if (!Number.isSafeInteger(millis))
    throw new RangeError(`"${text}" is not a duration, such as 250ms, 30s, 5m, 2h or 7d`);
  return millis;
}

/** The shortest exact way to write it: 90_000 → `90s`, 60_000 → `1m`. */
export function formatDuration(millis: number): string {
  const [unit, perUnit] = Object.entries(MILLIS).findLast(([, each]) => millis % each === 0 && millis >= each) ?? [
    'ms',
    1,
  ];
  return `${millis / perUnit}${unit}`;
}
