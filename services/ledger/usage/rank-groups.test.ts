import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { UsageRecorded } from '../../../shared/messages/usage.ts';
import { seeded } from '../../../shared/testing/seeded.ts';
import type { UsageDimension } from '../core/usage-query.ts';
import { reRate } from './corrections.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { usageEvent } from '../testing/usage-event.ts';
import type { UsageQuery } from '../core/usage-query.ts';
import type { UsageRow } from './usage-report.ts';
import { reportUsage } from './usage-report.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const DAY = 86_400_000;
const FROM = Date.UTC(2026, 9, 3);
const DAYS = 40;
const USERS = 150;
let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
  const events = randomEvents(4_000);
  const batches = Array.from({ length: 12 }, (_, i) => events.filter((__, place) => place % 12 === i));
  // Several ledgers at once, none with the same order.
  await Promise.all(batches.map((batch, i) => recordEvents(db, i % 2 === 0 ? batch : batch.toReversed())));
  const by = { reason: 'another price', by: 'ops' };
  await reRate(db, { filter: { model: 'free' }, priceOf: () => ({ input: 0, output: 0 }), ...by });
  await reRate(db, { filter: { model: 'dear' }, priceOf: () => ({ input: 9e9, output: 9e9 }), ...by });
});

afterAll(() => close());

/** Few make most of it, and some change in the middle of the time. */
function randomEvents(count: number): UsageRecorded[] {
  const random = seeded(5);
  const oneOf = <T>(...values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  return Array.from({ length: count }, () => {
    const startedEpochMs = FROM + Math.floor(random() * DAYS * DAY);
    const user = Math.floor(random() ** 3 * USERS);
    const isLate = startedEpochMs > FROM + (DAYS * DAY) / 2;
    return usageEvent({
      startedEpochMs,
      user: user === 7 ? null : `user-${isLate ? user : user * 2}`,
      team: oneOf('blue', 'red', null),
      organisation: oneOf('acme', undefined),
      model: oneOf('usual', 'usual', 'free', 'dear'),
      error: oneOf(null, null, 'upstream_failed'),
      costNanoUsd: random() < 0.05 ? null : Math.floor(random() * 1e9),
      inputTokens: Math.floor(random() * 1_000),
    });
  });
}

const span = fc.tuple(
  fc.oneof(fc.constant(undefined), fc.integer({ min: FROM - DAY, max: FROM + DAYS * DAY })),
  fc.oneof(fc.constant(undefined), fc.integer({ min: FROM, max: FROM + (DAYS + 1) * DAY })),
);
const query = fc.record({
  groupBy: fc.constantFrom<UsageDimension[]>(
    ...([
      ['user'],
      ['user', 'team'],
      ['organisation', 'user'],
      ['user', 'model'],
      ['user', 'day'],
    ] as UsageDimension[][]),
  ),
  span,
  team: fc.constantFrom<string | null | undefined>(undefined, undefined, 'blue', null),
  user: fc.constantFrom<string | undefined>(undefined, undefined, undefined, 'user-2'),
  top: fc.constantFrom(1, 3, 10, 90),
});

/** From sums, and one by one. */
async function bothWays(asked: UsageQuery): Promise<[UsageRow[], UsageRow[]]> {
  const added = await reportUsage(db, { ...asked, exactUpToAttempts: 0 });
  return [added, await reportUsage(db, { ...asked, exactUpToAttempts: Infinity })];
}

function told(rows: readonly UsageRow[]): unknown[] {
  return rows.map(({ group, attempts, errors, inputTokens, costNanoUsd }) => ({
    ...{ group, attempts, errors, inputTokens, costNanoUsd },
  }));
}

test('the dearest users are those of the attempts, with all that is told of them, in any time', async () => {
  await fc.assert(
    fc.asyncProperty(query, async ({ span: [sinceEpochMs, untilEpochMs], ...asked }) => {
      const [added, counted] = await bothWays({ ...asked, sinceEpochMs, untilEpochMs });
      expect(told(added)).toEqual(told(counted));
    }),
    { numRuns: 60, seed: 3 },
  );
});

test('what users are ranked by is what their days add up to', async () => {
  const sums = sql<Record<string, bigint>>`sum(attempts) as attempts, sum(cost_nano_usd) as cost`;
  const { rows: days } = await sql`
    select date '1970-01-01' + (day - date '1970-01-01') / 4 * 4 as starts_on, organisation, team, user_id, ${sums}
    from usage_daily join usage_groups on id = group_id where usage_daily.cube = 2
    group by 1, 2, 3, 4 order by 1, 2, 3, 4`.execute(db);
  const { rows: ranked } = await sql`
    select starts_on, organisation, team, user_id, ${sums}
    from usage_user_costs join usage_groups on id = group_id
    group by 1, 2, 3, 4 order by 1, 2, 3, 4`.execute(db);
  expect(ranked.length).toBeGreaterThan(100);
  expect(ranked).toEqual(days);
});

test('days that have been dropped do not make anybody cheaper', async () => {
  const asked: UsageQuery = { groupBy: ['user'], top: 3, sinceEpochMs: FROM + 5 * DAY + 1 };
  const [before, counted] = await bothWays(asked);
  await db.transaction().execute(async (transaction) => {
    const since = new Date(FROM + 18 * DAY);
    await transaction.insertInto('retention_marks').values({ kept: 'rollups_daily', since }).execute();
    await sql`delete from usage_daily where day < ${since}`.execute(transaction);
    await sql`delete from usage_user_costs where starts_on + 4 <= ${since}`.execute(transaction);
  });
  expect(told(before)).toEqual(told(counted));
  expect(told(await reportUsage(db, { ...asked, exactUpToAttempts: 0 }))).toEqual(told(counted));
});
