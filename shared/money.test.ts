import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDollars, formatUsd, parseUsd } from './money.ts';

describe('parseUsd', () => {
  test.each([
    { text: '12.50 USD', nano: 12_500_000_000n },
    { text: '0 USD', nano: 0n },
    { text: '500 USD', nano: 500_000_000_000n },
    { text: '0.10 USD', nano: 100_000_000n },
    { text: '0.000000001 USD', nano: 1n },
    { text: '0.1000000000000 USD', nano: 100_000_000n },
    { text: '  5  USD ', nano: 5_000_000_000n },
    { text: '90071992547409930 USD', nano: 90_071_992_547_409_930_000_000_000n },
  ])('$text -> $nano', ({ text, nano }) => {
    expect(parseUsd(text)).toBe(nano);
  });

  test.each(['', 'USD', '5', '5USD', '$5', '5 EUR', '5 usd', '-5 USD', '.5 USD', '5. USD', '1e3 USD', '1,000 USD'])(
    'refuses %j',
    (text) => {
      expect(() => parseUsd(text)).toThrow(`"${text}" is not an amount of money, such as "12.50 USD"`);
    },
  );

  test('refuses what is finer than a nano-dollar', () => {
    expect(() => parseUsd('0.0000000001 USD')).toThrow('"0.0000000001 USD" has more than 9 decimals');
  });
});

describe('formatUsd', () => {
  test.each([
    { nano: 0n, text: '$0.00' },
    { nano: 123_000n, text: '$0.000123' },
    { nano: 1n, text: '$0.000000001' },
    { nano: 12_500_000_000n, text: '$12.50' },
    { nano: 1_234_000_000_000n, text: '$1234.00' },
    { nano: -500_000_000n, text: '-$0.50' },
  ])('$nano -> $text', ({ nano, text }) => {
    expect(formatUsd(nano)).toBe(text);
  });

  test('what is formatted reads back as the same amount', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 24n }), (nano) => {
        expect(parseUsd(`${formatUsd(nano).slice(1)} USD`)).toBe(nano);
      }),
    );
  });
});

test.each([
  { nano: 123_000, text: '0.000123' },
  { nano: 12_500_000_000n, text: '12.50' },
  { nano: -1, text: '-0.000000001' },
  { nano: 0, text: '0.00' },
])('$nano nano-dollars are the number $text', ({ nano, text }) => {
  expect(formatDollars(nano)).toBe(text);
});
