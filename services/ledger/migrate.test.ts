import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createLog } from '../../shared/log.ts';
import { freshDatabase } from '../../test/support/fresh.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/index.ts';

const log = createLog('silent', 'test');

test('ledgers that start at once migrate once, and a later start changes nothing', async () => {
  const database = await freshDatabase();
  await Promise.all(Array.from({ length: 5 }, () => migrate(database.url, log)));
  await migrate(database.url, log);
  const db = openDatabase({ url: database.url, log });
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(MIGRATIONS));
  await db.destroy();
  await database.drop();
});

test('migrations stand in the order of their names', () => {
  expect(Object.keys(MIGRATIONS)).toEqual(Object.keys(MIGRATIONS).toSorted());
});
