const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1_024, MiB: 1_024 ** 2, GiB: 1_024 ** 3 };
const SIZE = /^(\d+) ?(B|KiB|MiB|GiB)$/;

/**
 * `512KiB`, `32MiB`, `1GiB`, `100B` → bytes.
 * @throws RangeError for anything else; `MB`, which some read as 10^6 and some as 2^20, is not accepted.
 */
export function parseSize(text: string): number {
  const match = SIZE.exec(text.trim());
  const perUnit = BYTES[match?.[2] ?? ''];
  const bytes = perUnit === undefined ? Number.NaN : Number(match?.[1]) * perUnit;
  if (!Number.isSafeInteger(bytes)) throw new RangeError(`"${text}" is not a size, such as 512KiB or 32MiB`);
  return bytes;
}

/** The shortest exact way to write it: 33_554_432 → `32MiB`. */
export function formatSize(bytes: number): string {
  const [unit, perUnit] = Object.entries(BYTES).findLast(([, each]) => bytes % each === 0 && bytes >= each) ?? ['B', 1];
  return `${bytes / perUnit}${unit}`;
}
