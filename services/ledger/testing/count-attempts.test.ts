import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeEvents } from '../../../test/bench/ledger-events.ts';
import { recordEvents } from '../recording/record.ts';
import type { Database } from '../database/schema.ts';
import { countAttempts } from './count-attempts.ts';
import { generateAttempts } from './generate-attempts.ts';
import { freshLedgerDatabase } from './fresh-database.ts';

const DAY_MS = 86_400_000;
const FROM = Date.UTC(2026, 10, 3);
const SPAN = { fromMs: FROM, toMs: FROM + 3 * DAY_MS };
let close: () => Promise<void>;
let db: Database;

beforeEach(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterEach(() => close());

async function rollups(): Promise<unknown[]> {
  const tables = [
    ...['usage_groups order by id', 'usage_hourly order by 1, 2, 3', 'usage_daily order by 1, 2, 3'],
    'usage_four_days order by 1, 2, 3',
    'usage_user_costs order by 1, 2',
  ];
  return Promise.all(tables.map(async (table) => (await sql.raw(`select * from ${table}`).execute(db)).rows));
}

test('counted by SQL, attempts make the rollups that the writer makes of them', async () => {
  const odd = { variant: 'left', lane: 'batch', cacheHit: true, isEstimated: true, costNanoUsd: null, ttftMs: null };
  const events = [...makeEvents(600, SPAN)].map((event, i) =>
    i % 5 === 0 ? { ...event, ...odd, tags: { a: 'with "quotes", (text)', b: '' }, durationMs: 2 ** (i % 22) } : event,
  );
  await recordEvents(db, events);
  const written = await rollups();
  await sql`truncate usage_groups, usage_hourly, usage_daily, usage_four_days, usage_user_costs`.execute(db);
  await countAttempts(db, SPAN);
  expect(await rollups()).toEqual(written);
});

test('generated attempts are as many as were asked for, of the company, and the same each time', async () => {
  await generateAttempts(db, 1_000, { ...SPAN, connections: 2 });
  const { rows } = await sql`
    select count(*) as attempts, count(distinct team) > 25 as has_teams, min(started_at) as first,
      max(started_at) < ${new Date(SPAN.toMs)} as is_within, count(distinct route) as routes
    from attempts`.execute(db);
  const expected = { attempts: 1_000n, has_teams: true, first: new Date(SPAN.fromMs), is_within: true, routes: 3n };
  expect(rows).toEqual([expected]);
  await expect(generateAttempts(db, 1_000, { ...SPAN, connections: 1 })).rejects.toThrow('duplicate key');
});
