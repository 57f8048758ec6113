import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GROUP_COLUMNS, groupText } from '../core/cubes.ts';
import type { Database } from '../database/schema.ts';
import { insertEvents } from '../recording/record.ts';
import { usageEvent } from '../testing/usage-event.ts';
import { freshLedgerDatabase } from '../testing/fresh-database.ts';

let close: () => Promise<void>;
let db: Database;

beforeAll(async () => {
  ({ db, close } = await freshLedgerDatabase());
});

afterAll(() => close());

test('a group’s text is the one that Postgres gives its row', async () => {
  const value = fc.oneof(fc.constant(null), fc.stringMatching(/^[ab ,()"\\\t\n'é🦥]{0,5}$/u));
  const group = fc.array(value, { minLength: GROUP_COLUMNS.length, maxLength: GROUP_COLUMNS.length });
  await fc.assert(
    fc.asyncProperty(group, async (values) => {
      const columns = sql.join(values.map((each) => sql`${each}::text`));
      const { rows } = await sql<{ text: string }>`select row(2::smallint, ${columns})::text as text`.execute(db);
      expect(groupText(2, values)).toBe(rows[0]?.text);
    }),
    { numRuns: 200 },
  );
});

test('a group that was taken away is there again, with its values, once it is counted in', async () => {
  const hourMs = 3_600_000;
  const [first, second] = [
    usageEvent({ team: 'a "b",', tags: { 'a\\': 'é' } }),
    usageEvent({ team: 'a "b",', tags: { 'a\\': 'é' } }),
  ];
  const groups = () => db.selectFrom('usage_groups').selectAll().orderBy('id').execute();
  await insertEvents(db, [first]);
  const before = await groups();
  expect(before.map(({ cube }) => cube).sort()).toEqual([1, 2, 3, 4, 5]);
  await db.deleteFrom('usage_groups').execute();
  const other = { ...second, attemptId: 'other', startedEpochMs: second.startedEpochMs + hourMs };
  await insertEvents(db, [second, other, usageEvent({ team: 'new' })]);
  const after = await groups();
  expect(after.filter(({ team }) => team !== 'new')).toEqual(before);
  expect(after).toHaveLength(2 * before.length - 1);
});

test('a group whose transaction failed is there after the next one', async () => {
  const event = usageEvent({ team: 'failed' });
  await expect(insertEvents(db, [event], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await insertEvents(db, [event]);
  const groups = await db.selectFrom('usage_groups').select(['cube', 'model']).where('team', '=', 'failed').execute();
  expect(groups.sort((a, b) => a.cube - b.cube)).toEqual(
    [1, 2, 4, 5].map((cube) => ({ cube, model: cube < 4 ? event.model : null })),
  );
});
