import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RetentionConfig } from '../../../shared/config.ts';
import { cleanOnce } from './housekeeping.ts';
import { firstIdOf, listPartitions } from './partitions.ts';
import { putAside, recordEvents } from '../recording/record.ts';
import type { Database } from './schema.ts';
import { countAttempts } from '../testing/counts.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { reportUsage } from '../usage/usage-report.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

const DAY = 86_400_000;
const KEEP_ALL: RetentionConfig = {
  ...{ attemptsMs: undefined, hourlyRollupsMs: undefined, dailyRollupsMs: undefined, poisonedMs: undefined },
};
const now = new Date();
let close: () => Promise<void>;
let db: Database;

beforeEach(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterEach(() => close());

async function recordAt(at: Date, user: string): Promise<void> {
  const attemptId = `${firstIdOf(at)}70008000000000000000.1`;
  await recordEvents(db, [usageEvent({ attemptId, startedEpochMs: at.getTime(), user, costNanoUsd: 5 })]);
}

function later(days: number): Date {
  return new Date(now.getTime() + days * DAY);
}

/** Marked in one run, dropped in the next. */
async function cleanTwice(retention: RetentionConfig, at: Date): Promise<void> {
  await cleanOnce(db, retention, at);
  await cleanOnce(db, retention, at);
}

async function costOf(user: string, sinceEpochMs?: number): Promise<bigint | undefined> {
  const [row] = await reportUsage(db, { groupBy: [], user, sinceEpochMs });
  return row?.costNanoUsd;
}

test('for ever is for ever', async () => {
  await recordAt(now, 'ada');
  await cleanTwice(KEEP_ALL, later(500));
  expect(await countAttempts(db)).toBe(1);
  expect(await db.selectFrom('usage_hourly').selectAll().execute()).toHaveLength(3);
});

test('months of attempts go as a whole, their money stays, and reports go on', async () => {
  await recordAt(now, 'ada');
  await cleanOnce(db, KEEP_ALL, later(400));
  await recordAt(later(400), 'bob');
  const months = (await listPartitions(db)).length;
  await cleanTwice({ ...KEEP_ALL, attemptsMs: 100 * DAY }, later(400));
  expect(await countAttempts(db)).toBe(1);
  expect((await listPartitions(db)).length).toBeLessThan(months);
  expect(await costOf('ada')).toBe(5n);
  // Less than an hour can no longer be told apart: the whole hour is told.
  expect(await costOf('ada', now.getTime() + 1)).toBe(5n);
  expect(await costOf('bob', later(400).getTime() + 1)).toBe(0n);
});

test('a month is kept until its last day is old enough', async () => {
  await recordAt(now, 'ada');
  const end = (await listPartitions(db))[0]?.endsAt.getTime() ?? 0;
  await cleanTwice({ ...KEEP_ALL, attemptsMs: 100 * DAY }, new Date(end + 100 * DAY));
  expect(await countAttempts(db)).toBe(1);
  await cleanTwice({ ...KEEP_ALL, attemptsMs: 100 * DAY }, new Date(end + 102 * DAY));
  expect(await countAttempts(db)).toBe(0);
});

test('hours that are gone are told by attempts, and where these are gone too by days', async () => {
  await recordAt(now, 'ada');
  await cleanTwice({ ...KEEP_ALL, hourlyRollupsMs: 90 * DAY }, later(400));
  expect(await db.selectFrom('usage_hourly').selectAll().execute()).toEqual([]);
  expect(await costOf('ada', now.getTime() + 1)).toBe(0n);
  await cleanTwice({ ...KEEP_ALL, hourlyRollupsMs: 90 * DAY, attemptsMs: 100 * DAY }, later(400));
  expect(await countAttempts(db)).toBe(0);
  expect(await costOf('ada', now.getTime() + 1)).toBe(5n);
});

test('groups that no sum is left of go too, and come again', async () => {
  await recordAt(now, 'ada');
  await recordAt(later(60), 'bob');
  await cleanTwice({ ...KEEP_ALL, hourlyRollupsMs: 31 * DAY, dailyRollupsMs: 31 * DAY }, later(70));
  const users = await db.selectFrom('usage_groups').select(['cube', 'user_id']).orderBy('cube').execute();
  expect(users.filter(({ user_id }) => user_id !== null)).toEqual([2, 5].map((cube) => ({ cube, user_id: 'bob' })));
  expect(await db.selectFrom('usage_user_costs').select('cost_nano_usd').execute()).toEqual([{ cost_nano_usd: 5n }]);
  await recordAt(later(65), 'ada');
  expect(
    await reportUsage(db, { groupBy: ['user'], sinceEpochMs: later(50).getTime(), exactUpToAttempts: 0 }),
  ).toHaveLength(2);
});

test('what was put aside, old answers and closed leases go', async () => {
  await putAside(db, [{ event: '{}', reason: 'not JSON' }]);
  await sql`
    insert into idempotent_answers (actor, key, request_hash, status, headers) values ('a', 'k', 'h', 200, '{}')`.execute(
    db,
  );
  await sql`insert into budgets (id, name, scope, amount_nano_usd, per) values ('b', 'b', 'total', 1, 'total')`.execute(
    db,
  );
  await sql`
    insert into budget_windows (budget_id, subject, starts_at, ends_at, limit_nano_usd)
    values ('b', 'total', '-infinity', 'infinity', 1)`.execute(db);
  await sql`
    insert into budget_leases (id, budget_id, subject, starts_at, ingress, amount_nano_usd, is_closed, expires_at)
    values ('l1', 'b', 'total', '-infinity', 'i', 1, true, now()), ('l2', 'b', 'total', '-infinity', 'i', 1, false, now())`.execute(
    db,
  );
  await cleanOnce(db, { ...KEEP_ALL, poisonedMs: 30 * DAY }, later(20));
  expect(await db.selectFrom('poisoned_events').select('reason').execute()).toHaveLength(1);
  expect(await db.selectFrom('idempotent_answers').select('key').execute()).toEqual([]);
  expect(await db.selectFrom('budget_leases').select('id').execute()).toEqual([{ id: 'l2' }]);
  await cleanOnce(db, { ...KEEP_ALL, poisonedMs: 30 * DAY }, later(40));
  expect(await db.selectFrom('poisoned_events').select('reason').execute()).toEqual([]);
});

test('one ledger cleans at a time', async () => {
  await db.connection().execute(async (holder) => {
    await sql`select pg_advisory_lock(7583004)`.execute(holder);
    await cleanOnce(db, { ...KEEP_ALL, hourlyRollupsMs: 31 * DAY }, later(100));
    expect(await db.selectFrom('retention_marks').selectAll().execute()).toEqual([]);
    await sql`select pg_advisory_unlock(7583004)`.execute(holder);
  });
});
