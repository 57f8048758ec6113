import { afterAll, beforeAll, expect, test } from 'vitest';
import { recentAttempts } from './list-attempts.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { reportUsage } from './usage-report.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const NOON = Date.UTC(2026, 10, 20, 12);
const DAY = 86_400_000;
const HUGE = Number.MAX_SAFE_INTEGER;
let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
  await recordEvents(db, [
    usageEvent({
      keyId: 'k1',
      keyName: 'one',
      team: 'blue',
      model: 'big',
      costNanoUsd: HUGE,
      ttftMs: 100,
      durationMs: 1_000,
    }),
    usageEvent({
      keyId: 'k1',
      keyName: 'one',
      team: 'blue',
      model: 'big',
      costNanoUsd: HUGE,
      ttftMs: 200,
      durationMs: 2_000,
    }),
    usageEvent({
      keyId: 'k1',
      keyName: 'one',
      team: 'blue',
      model: 'big',
      costNanoUsd: 3,
      ttftMs: null,
      error: 'upstream_failed',
    }),
    usageEvent({
      keyId: 'k1',
      keyName: 'one',
      team: 'blue',
      model: 'small',
      route: 'best',
      reason: 'fallback',
      variant: 'b',
      lane: 'batch',
      costNanoUsd: 5,
      error: 'client_closed_request',
      isEstimated: true,
    }),
    usageEvent({ keyId: 'k2', keyName: 'two', model: 'small', costNanoUsd: null, startedEpochMs: NOON - DAY }),
    usageEvent({ keyId: 'k3', keyName: 'two', model: 'small', costNanoUsd: 7, startedEpochMs: NOON + DAY }),
  ]);
});

afterAll(() => close());

test('totals beyond 2^53 are exact', async () => {
  expect(await reportUsage(db, { groupBy: [] })).toMatchObject([
    {
      group: {},
      attempts: 6,
      succeeded: 4,
      errors: 1,
      cancelled: 1,
      inputTokens: 6_000,
      cachedInputTokens: 600,
      outputTokens: 1_200,
      reasoningTokens: 300,
      costNanoUsd: 2n * BigInt(HUGE) + 15n,
      attemptsWithUnknownPrice: 1,
      attemptsEstimated: 1,
    },
  ]);
});

test('by key and model, the dearest first; two keys of one name stay two', async () => {
  const rows = await reportUsage(db, { groupBy: ['key', 'model'] });
  expect(rows.map(({ group, attempts, costNanoUsd }) => [group.key, group.model, attempts, costNanoUsd])).toEqual([
    ['one', 'big', 3, 2n * BigInt(HUGE) + 3n],
    ['two', 'small', 1, 7n],
    ['one', 'small', 1, 5n],
    ['two', 'small', 1, 0n],
  ]);
});

test('times: average, median and 95th percentile of those that have one', async () => {
  const [row] = await reportUsage(db, { groupBy: ['model'], model: 'big' });
  expect(row?.ttftMs).toEqual({ avg: 150, p50: 150, p95: 195 });
  expect(row?.durationMs).toMatchObject({ p50: 2_000 });
});

test.each([
  { why: 'since is in', filter: { sinceEpochMs: NOON + DAY }, attempts: 1 },
  { why: 'until is out', filter: { untilEpochMs: NOON }, attempts: 1 },
  { why: 'key by id', filter: { key: 'k2' }, attempts: 1 },
  { why: 'key by name', filter: { key: 'two' }, attempts: 2 },
  { why: 'model', filter: { model: 'small' }, attempts: 3 },
  { why: 'team', filter: { team: 'blue' }, attempts: 4 },
  { why: 'nothing matches', filter: { team: "'; drop table attempts; --" }, attempts: 0 },
])('filter: $why', async ({ filter, attempts }) => {
  const [row] = await reportUsage(db, { ...filter, groupBy: [] });
  expect(row).toMatchObject({ attempts });
  expect(await recentAttempts(db, 10, filter)).toHaveLength(attempts);
});

test('nothing matches: a sum of zero, and no groups', async () => {
  const [row] = await reportUsage(db, { groupBy: [], key: 'nobody' });
  expect(row).toMatchObject({ costNanoUsd: 0n, inputTokens: 0, ttftMs: { avg: null, p50: null, p95: null } });
  expect(await reportUsage(db, { groupBy: ['team'], key: 'nobody' })).toEqual([]);
});

test.each([
  { groupBy: ['day'] as const, groups: [{ day: '2026-11-21' }, { day: '2026-11-20' }, { day: '2026-11-19' }] },
  { groupBy: ['team'] as const, groups: [{ team: 'blue' }, { team: null }] },
  {
    groupBy: ['error'] as const,
    groups: [{ error: null }, { error: 'client_closed_request' }, { error: 'upstream_failed' }],
  },
  { groupBy: ['route'] as const, groups: [{ route: null }, { route: 'best' }] },
  {
    groupBy: ['reason', 'variant'] as const,
    groups: [
      { reason: null, variant: null },
      { reason: 'fallback', variant: 'b' },
    ],
  },
  { groupBy: ['lane'] as const, groups: [{ lane: 'interactive' }, { lane: 'batch' }] },
  { groupBy: ['deployment', 'deployment'] as const, groups: [{ deployment: 'openai/gpt-4o-mini' }] },
])('groups by $groupBy', async ({ groupBy, groups }) => {
  expect((await reportUsage(db, { groupBy })).map(({ group }) => group)).toEqual(groups);
});

test('the last attempts, newest first', async () => {
  const [newest, ...others] = await recentAttempts(db, 3);
  expect(newest).toMatchObject({ keyName: 'two', model: 'small', costNanoUsd: 7n, startedEpochMs: NOON + DAY });
  expect(others).toHaveLength(2);
  expect(newest).toMatchObject({ reason: null, variant: null, lane: 'interactive' });
  expect(await recentAttempts(db, 1, { model: 'small', key: 'k1' })).toMatchObject([
    { reason: 'fallback', variant: 'b', lane: 'batch' },
  ]);
});
