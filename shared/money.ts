/** Money as an integer: 1 USD = 1_000_000_000 nano-dollars. bigint, because a sum has no bound; one attempt fits a number. */
export type NanoUsd = bigint;

export const NANO_PER_USD = 1_000_000_000n;

const FRACTION_DIGITS = 9;
const AMOUNT = /^(\d+)(?:\.(\d+))? +USD$/;

/**
 * `12.50 USD` → 12_500_000_000n, exactly: the decimal text is read, no float is involved.
 * @throws RangeError for anything else: another currency, a sign, a unit missing, more than 9 decimals.
 */
export function parseUsd(text: string): NanoUsd {
  const match = AMOUNT.exec(text.trim());
  if (match?.[1] === undefined) throw new RangeError(`"${text}" is not an amount of money, such as "12.50 USD"`);
  const fraction = (match[2] ?? '').replace(/0+$/, '');
  if (fraction.length > FRACTION_DIGITS) throw new RangeError(`"${text}" has more than ${FRACTION_DIGITS} decimals`);
  return BigInt(match[1]) * NANO_PER_USD + BigInt(fraction.padEnd(FRACTION_DIGITS, '0'));
}

/** Exact, with at least two decimals: 123_000n → `$0.000123`, -12_500_000_000n → `-$12.50`. For people. */
export function formatUsd(nano: NanoUsd): string {
  return `${nano < 0n ? '-' : ''}$${decimals(nano < 0n ? -nano : nano)}`;
}

/** The same digits as a plain decimal number, `0.000123`: for headers and other machines. @throws RangeError for a fraction. */
export function formatDollars(nano: NanoUsd | number): string {
  const whole = BigInt(nano);
  return `${whole < 0n ? '-' : ''}${decimals(whole < 0n ? -whole : whole)}`;
}

/** As `parseUsd` reads it: `0.000123 USD`. */
export function formatAmount(nano: NanoUsd | number): string {
  return `${formatDollars(nano)} USD`;
}

function decimals(absolute: NanoUsd): string {
  const fraction = String(absolute % NANO_PER_USD).padStart(FRACTION_DIGITS, '0');
  return `${absolute / NANO_PER_USD}.${fraction.replace(/0+$/, '').padEnd(2, '0')}`;
}
