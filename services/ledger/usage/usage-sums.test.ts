import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { seeded } from '../../../shared/testing/seeded.ts';
import type { PlainDimension } from '../../../shared/usage-dimensions.ts';
import type { UsageDimension } from '../core/usage-query.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { usageEvent } from '../testing/usage-event.ts';
import type { UsageRow } from './usage-report.ts';
import { reportUsage } from './usage-report.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const HOUR = 3_600_000;
const FROM = Date.UTC(2026, 9, 30);
const UNTIL = Date.UTC(2026, 10, 10);
let close: () => Promise<void>;
let db: Database;
let events: UsageRecorded[];

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
  events = randomEvents(3_000);
  // In batches of odd sizes, a part of them twice: as they come.
  for (let i = 0; i < events.length; i += 700) await recordEvents(db, events.slice(Math.max(0, i - 50), i + 700));
});

afterAll(() => close());

function randomEvents(count: number): UsageRecorded[] {
  const random = seeded(7);
  const oneOf = <T>(...values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const upTo = (most: number): number => Math.floor(random() * most);
  return Array.from({ length: count }, () => {
    const key = oneOf('k1', 'k2', 'k3');
    return usageEvent({
      startedEpochMs: FROM + upTo(UNTIL - FROM),
      keyId: key,
      keyName: key === 'k3' ? 'name-of-k2' : `name-of-${key}`,
      organisation: oneOf('acme', undefined),
      team: oneOf('blue', 'red', '', null),
      user: oneOf('ada', 'bob', null, undefined),
      feature: oneOf('search', null),
      model: oneOf('big', 'small', '"quoted", (text)'),
      route: oneOf('best', null),
      deployment: oneOf('a/x', 'b/y'),
      provider: oneOf('a', 'b'),
      endpoint: oneOf('chat', 'embeddings'),
      lane: oneOf('interactive', 'batch', undefined),
      variant: oneOf('left', 'right', null),
      reason: oneOf('fallback', undefined),
      error: oneOf(null, null, 'upstream_failed', 'client_closed_request'),
      ...(random() < 0.5
        ? { tags: { project: oneOf('apollo', 'gemini'), ...(random() < 0.5 && { tier: 'gold' }) } }
        : {}),
      cacheHit: oneOf(true, false, undefined),
      isEstimated: random() < 0.2,
      costNanoUsd: random() < 0.1 ? null : upTo(2 ** 40),
      inputTokens: upTo(100_000),
      cachedInputTokens: upTo(1_000),
      outputTokens: upTo(5_000),
      reasoningTokens: upTo(500),
      ttftMs: random() < 0.2 ? null : upTo(5_000),
      durationMs: upTo(60_000),
    });
  });
}

/** The plain model: every event, looked at by itself. */
function valueOf(event: UsageRecorded, dimension: UsageDimension): string | null {
  const iso = new Date(event.startedEpochMs).toISOString();
  if (dimension === 'day') return iso.slice(0, 10);
  if (dimension === 'hour') return `${iso.slice(0, 13)}:00Z`;
  if (dimension === 'key') return event.keyName;
  if (dimension === 'lane') return event.lane ?? 'interactive';
  if (dimension.startsWith('tag:')) return event.tags?.[dimension.slice(4)] ?? null;
  return event[dimension as Exclude<PlainDimension, 'key'>] ?? null;
}

function groupKey(event: UsageRecorded, groupBy: readonly UsageDimension[]): string {
  return JSON.stringify(groupBy.map((name) => (name === 'key' ? event.keyId : valueOf(event, name))));
}

interface Expected {
  readonly group: Record<string, string | null>;
  readonly sums: { readonly costNanoUsd: bigint };
}

function modelReport(chosen: readonly UsageRecorded[], groupBy: readonly UsageDimension[]): Expected[] {
  const tagged = chosen.filter((event) =>
    groupBy.every((name) => !name.startsWith('tag:') || valueOf(event, name) !== null),
  );
  return [...Map.groupBy(tagged, (event) => groupKey(event, groupBy)).values()].map((group) => ({
    group: Object.fromEntries(groupBy.map((name) => [name, valueOf(group[0] as UsageRecorded, name)])),
    sums: {
      attempts: group.length,
      succeeded: group.filter(({ error }) => error === null).length,
      cancelled: group.filter(({ error }) => error === 'client_closed_request').length,
      errors: group.filter(({ error }) => error === 'upstream_failed').length,
      cacheHits: group.filter(({ cacheHit }) => cacheHit === true).length,
      inputTokens: group.reduce((sum, { inputTokens }) => sum + inputTokens, 0),
      cachedInputTokens: group.reduce((sum, { cachedInputTokens }) => sum + cachedInputTokens, 0),
      outputTokens: group.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
      reasoningTokens: group.reduce((sum, { reasoningTokens }) => sum + reasoningTokens, 0),
      costNanoUsd: group.reduce((sum, { costNanoUsd }) => sum + BigInt(costNanoUsd ?? 0), 0n),
      attemptsWithUnknownPrice: group.filter(({ costNanoUsd }) => costNanoUsd === null).length,
      attemptsEstimated: group.filter(({ isEstimated }) => isEstimated).length,
    },
  }));
}

/** Of the groups that are the dearest in the whole time. */
function dearest(rows: Expected[], groupBy: readonly UsageDimension[], top: number | undefined): Expected[] {
  const plain = groupBy.filter((name) => name !== 'day' && name !== 'hour');
  if (top === undefined || plain.length === 0) return rows;
  const groups = [...Map.groupBy(rows, ({ group }) => JSON.stringify(plain.map((name) => group[name]))).values()];
  const costOf = (of: Expected[]): bigint => of.reduce((sum, { sums }) => sum + sums.costNanoUsd, 0n);
  return groups
    .toSorted((a, b) => Number(costOf(b) - costOf(a)))
    .slice(0, top)
    .flat();
}

function byGroup<Row extends { readonly group: object }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [JSON.stringify(Object.entries(row.group).sort()), row]));
}

const dimension = fc.constantFrom<UsageDimension>(
  ...(['organisation', 'team', 'user', 'feature', 'model', 'route', 'deployment', 'provider', 'endpoint'] as const),
  ...(['lane', 'variant', 'reason', 'error', 'day', 'hour', 'tag:project', 'tag:tier'] as const),
);
const time = fc.oneof(
  fc.integer({ min: FROM - 5 * HOUR, max: UNTIL + 5 * HOUR }),
  fc.integer({ min: -5, max: 270 }).map((hours) => FROM + hours * HOUR),
);
const query = fc.record({
  groupBy: fc.uniqueArray(dimension, { maxLength: 3 }),
  sinceEpochMs: fc.option(time, { nil: undefined }),
  untilEpochMs: fc.option(time, { nil: undefined }),
  team: fc.constantFrom<string | null | undefined>(undefined, undefined, 'blue', '', null),
  user: fc.constantFrom<string | null | undefined>(undefined, undefined, 'ada', null),
  key: fc.constantFrom<string | undefined>(undefined, undefined, 'k1', 'name-of-k2'),
  error: fc.constantFrom<string | null | undefined>(undefined, undefined, null, 'upstream_failed'),
  tags: fc.constantFrom<Record<string, string> | undefined>(undefined, undefined, { project: 'apollo' }),
  top: fc.constantFrom(undefined, undefined, 1, 2, 5),
});

test('a report is the sum over the attempts, whatever is asked and wherever it is read', async () => {
  await fc.assert(
    fc.asyncProperty(query, fc.constantFrom(0, Infinity), async (asked, exactUpToAttempts) => {
      const { groupBy, sinceEpochMs, untilEpochMs, team, user, key, error, tags, top } = asked;
      const chosen = events.filter(
        (event) =>
          event.startedEpochMs >= (sinceEpochMs ?? 0) &&
          event.startedEpochMs < (untilEpochMs ?? Infinity) &&
          (team === undefined || event.team === team) &&
          (user === undefined || (event.user ?? null) === user) &&
          (key === undefined || event.keyId === key || event.keyName === key) &&
          (error === undefined || event.error === error) &&
          (tags === undefined || event.tags?.project === tags.project),
      );
      const rows = await reportUsage(db, { ...asked, exactUpToAttempts });
      const told = byGroup(rows);
      const expected = byGroup(dearest(modelReport(chosen, groupBy), groupBy, top));
      // The sum of everything is told also when it is nothing.
      if (groupBy.length > 0) expect(told.size).toBe(expected.size);
      for (const [name, { sums }] of expected) expect(told.get(name)).toMatchObject(sums);
    }),
    { numRuns: 300, seed: 11 },
  );
});

test('quantiles of many attempts are right within their power of two, averages to the digit', async () => {
  const query = { groupBy: ['model'], sinceEpochMs: FROM + 17 } as const;
  const exact = await reportUsage(db, query);
  const rough = await reportUsage(db, { ...query, exactUpToAttempts: 0 });
  expect(exact.map(({ areQuantilesRough }) => areQuantilesRough)).toEqual([false, false, false]);
  for (const [i, row] of rough.entries()) {
    expect(row.areQuantilesRough).toBe(true);
    expectAlike(row, exact[i] as UsageRow, 'ttftMs');
    expectAlike(row, exact[i] as UsageRow, 'durationMs');
  }
});

function expectAlike(rough: UsageRow, exact: UsageRow, measure: 'ttftMs' | 'durationMs'): void {
  expect(rough[measure].avg).toBeCloseTo(exact[measure].avg ?? NaN, 6);
  for (const quantile of ['p50', 'p95'] as const) {
    const ratio = (rough[measure][quantile] ?? NaN) / (exact[measure][quantile] ?? NaN);
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(2);
  }
}

test('the top groups are those of the whole time, each with its whole series', async () => {
  const total = await reportUsage(db, { groupBy: ['model'], exactUpToAttempts: 0 });
  const dearest = total.slice(0, 2).map(({ group }) => group.model);
  for (const exactUpToAttempts of [0, Infinity]) {
    const series = await reportUsage(db, { groupBy: ['day', 'model'], top: 2, exactUpToAttempts });
    expect(new Set(series.map(({ group }) => group.model))).toEqual(new Set(dearest));
    expect(series).toHaveLength(2 * 11);
    expect(series.map(({ group }) => group.day)).toEqual(
      series
        .map(({ group }) => group.day)
        .toSorted()
        .toReversed(),
    );
  }
});

test('rollups hold each attempt once in the cubes of keys, users and teams, once for each tag in that of tags', async () => {
  const rows = await db
    .selectFrom('usage_hourly')
    .select(['cube', ({ fn }) => fn.sum<bigint>('attempts').as('attempts')])
    .groupBy('cube')
    .orderBy('cube')
    .execute();
  const tags = events.reduce((sum, event) => sum + Object.keys(event.tags ?? {}).length, 0);
  expect(rows.map(({ attempts }) => Number(attempts))).toEqual([events.length, events.length, tags, events.length]);
});
