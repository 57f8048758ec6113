import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AccountedAttempt } from './list-attempts.ts';
import { csvRecord, exportHead, exportLines } from './write-attempts.ts';

const attempt: AccountedAttempt = {
  ...{ attemptId: 'req_1.1', requestId: 'req_1', attempt: 1, source: 'worker', startedEpochMs: 0, chargedEpochMs: 0 },
  ...{ organisation: null, team: 'a "quoted", team', user: 'ada', keyId: 'k', keyName: 'key\r\nof two lines' },
  ...{ feature: null, session: null, tags: { project: 'apollo' }, model: 'm', route: null, deployment: 'p/m' },
  ...{ modelScope: 'm', routeScope: null },
  ...{ provider: 'p', upstreamModel: 'm', endpoint: 'chat', reason: null, variant: null, lane: 'interactive' },
  ...{ isStream: true, inputTokens: 1, cachedInputTokens: 0, outputTokens: 2, reasoningTokens: 0, isEstimated: false },
  ...{ costNanoUsd: 9_007_199_254_740_993n, correctionNanoUsd: -1n, reservedNanoUsd: null, rates: [10n ** 9n] },
  ...{ cacheHit: null, queueMs: 0, ttftMs: null, durationMs: 3, upstreamStatus: 200, finish: 'stop', error: null },
  ...{ earlier: null, guardrails: null, worker: 'w', ingress: 'i', traceparent: null },
};

/** RFC 4180, section 2. */
function readCsv(text: string): string[][] {
  const records: string[][] = [[]];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    if (match === null) throw new Error(`not CSV at ${cell.lastIndex}`);
    records.at(-1)?.push((match[1] ?? match[2] ?? '').replaceAll('""', '"'));
    if (match[3] === '\r\n') records.push([]);
  }
  return records.slice(0, -1);
}

test('CSV is read back as it was, whatever is in it', () => {
  const cell = fc.stringMatching(/^[ab",\r\n ]{0,6}$/);
  const records = fc.array(fc.array(cell, { minLength: 1, maxLength: 4 }), { maxLength: 4 });
  fc.assert(
    fc.property(records, (rows) => {
      expect(readCsv(rows.map(csvRecord).join(''))).toEqual(rows);
    }),
  );
});

test('a line of CSV has a cell for each column of the head', () => {
  const [head = [], line = []] = readCsv(exportHead('csv') + exportLines('csv', [attempt]));
  const cells = Object.fromEntries(head.map((name, i) => [name, line[i]]));
  expect(line).toHaveLength(head.length);
  expect(cells).toMatchObject({
    ...{ attempt_id: 'req_1.1', started_at: '1970-01-01T00:00:00.000Z', organisation: '', team: 'a "quoted", team' },
    ...{ key_name: 'key\r\nof two lines', tags: '{"project":"apollo"}', cost_usd: '9007199.254740993' },
    ...{ correction_usd: '-0.000000001', reserved_usd: '', rates_usd_per_million: '["1.00"]', is_stream: 'true' },
  });
});

test('a line of JSON is one object, money as text', () => {
  expect(exportHead('jsonl')).toBe('');
  const lines = exportLines('jsonl', [attempt, attempt]).split('\n');
  expect(lines).toHaveLength(3);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    ...{ attempt_id: 'req_1.1', tags: { project: 'apollo' }, cost_usd: '9007199.254740993', ttft_ms: null },
  });
});
