import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../shared/log.ts';
import type { TestDatabase } from '../../../test/support/fresh.ts';
import { freshDatabase } from '../../../test/support/fresh.ts';
import { GROUP_COLUMNS, groupText } from '../core/cubes.ts';
import { openDatabase } from '../database/database.ts';
import type { Database } from '../database/schema.ts';

let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase({ url: database.url, log: createLog('silent', 'test') });
});

afterAll(async () => {
  await db.destroy();
  await database.drop();
});

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
