import { expect, test } from 'vitest';
import type { UsageRow } from '../../services/ledger/usage/usage-report.ts';
import { alignUsd, rowAsJson, totalsTable } from './usage-tables.ts';

const NONE = { avg: null, p50: null, p95: null };

function row(group: UsageRow['group'], fields: Partial<UsageRow> = {}): UsageRow {
  return {
    ...{
      group,
      attempts: 1,
      succeeded: 1,
      errors: 0,
      cancelled: 0,
      cacheHits: 0,
      inputTokens: 10,
      cachedInputTokens: 0,
    },
    ...{ outputTokens: 20, reasoningTokens: 0, costNanoUsd: 1_000n, attemptsWithUnknownPrice: 0, attemptsEstimated: 0 },
    ...{ ttftMs: NONE, durationMs: NONE, areQuantilesRough: false, ...fields },
  };
}

test('amounts keep every digit and get the same number of decimals', () => {
  expect(alignUsd([12_500_000_000n, 123_000n, 0n])).toEqual(['$12.500000', '$0.000123', '$0.000000']);
  expect(alignUsd([])).toEqual([]);
});

test('a sum beyond what a float holds is exact', () => {
  const cost = 9_007_199_254_740_993_000_000_001n;
  const table = totalsTable(['key'], [row({ key: 'a' }, { costNanoUsd: cost })], row({}, { costNanoUsd: cost }));
  expect(table).toContain('$9007199254740993.000000001');
  expect(rowAsJson(row({}, { costNanoUsd: cost }))).toMatchObject({
    costUsd: '9007199254740993.000000001',
    costNanoUsd: String(cost),
  });
});

test('estimated tokens and unknown prices are marked, and the marks are explained', () => {
  const rows = [
    row({ model: 'guessed' }, { attemptsEstimated: 1, inputTokens: 1_234 }),
    row({ model: 'unpriced' }, { attemptsWithUnknownPrice: 1, costNanoUsd: 0n }),
  ];
  const total = row({}, { attempts: 2, attemptsEstimated: 1, attemptsWithUnknownPrice: 1, inputTokens: 1_244 });
  const lines = totalsTable(['model'], rows, total).split('\n');
  expect(lines[1]).toMatch(/guessed.* 1,234\* .*\$0\.000001$/);
  expect(lines[2]).toMatch(/unpriced.* 10 {3}.*unknown†$/);
  expect(lines.slice(-2)).toEqual([
    '* 1 attempt: tokens are an estimate of ours, the provider told none.',
    '† 1 attempt: no price is known, and none is in the sum. Set one: providers.<name>.models.<model>.price',
  ]);
});

test('without anything to explain there are no footnotes', () => {
  expect(
    totalsTable(['key'], [row({ key: 'a' })], row({}))
      .split('\n')
      .at(-1),
  ).toMatch(/^total/);
});

test('quantiles of histograms are marked, and the mark is explained', () => {
  const rough = { ttftMs: { avg: 300, p50: 290, p95: 900 }, areQuantilesRough: true };
  const lines = totalsTable(['model'], [row({ model: 'm' }, rough)], row({}, rough)).split('\n');
  expect(lines[1]).toContain('~290 ms');
  expect(lines.at(-1)).toBe('~ p50 and p95 of very many attempts are told by powers of two.');
});
