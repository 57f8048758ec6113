import type { Transaction } from 'kysely';
import { sql } from 'kysely';
import type { Change } from '../rules/revision.ts';
import { bumpRevision } from '../rules/revision.ts';
import type { Database, Tables } from '../database/schema.ts';
import { ACTS_WHEN_OVER } from './standings.ts';
import type { WindowRow } from './window-rows.ts';
import { rowOfKey } from './window-rows.ts';

/** Notes of one round: as many names as one message may hold. */
const BATCH = 1_000;

/**
 * Notes for whom a soft budget has come to its end by what was just added or taken, or has room again. Of most changes
 * nothing is to be noted, which is seen in memory; the windows are locked.
 * @param after those that were changed
 */
export async function noteCrossings(
  tx: Transaction<Tables>,
  before: ReadonlyMap<string, WindowRow>,
  after: ReadonlyMap<string, WindowRow>,
): Promise<void> {
  const crossed = [...after].flatMap(([name, window]) => {
    const earlier = before.get(name);
    return earlier === undefined || isOver(earlier) === isOver(window) ? [] : [rowOfKey(window)];
  });
  if (crossed.length === 0) return;
  await sql`
    insert into budget_crossings (subject)
    select distinct w.subject
    from json_to_recordset(${JSON.stringify(crossed)}) as k(budget_id text, subject text, starts_at timestamptz)
    join budget_windows w using (budget_id, subject, starts_at)
    join budgets b on b.id = w.budget_id and b.is_live and ${ACTS_WHEN_OVER}
    where w.ends_at > now()`.execute(tx);
}

/** As `standingsOf` has it. */
function isOver({ spent, limit }: WindowRow): boolean {
  return spent >= limit;
}

/**
 * Has every ingress ask anew about those that were noted. The revision rises with it, so that who does not hear of it learns
 * of it from a beat. Any number of ledgers may do so at once.
 * @returns whether there may be more
 * @throws what Postgres said
 */
export async function tellCrossings(
  db: Database,
  announce: (change: Change & { readonly revision: bigint }) => void,
): Promise<boolean> {
  const told = await db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ subject: string }>`
      delete from budget_crossings where id in (
        select id from budget_crossings order by id limit ${BATCH} for update skip locked
      ) returning subject`.execute(tx);
    if (rows.length === 0) return undefined;
    const standings = [...new Set(rows.map(({ subject }) => subject))];
    return { count: rows.length, standings, revision: await bumpRevision(tx) };
  });
  if (told === undefined) return false;
  announce({ revision: told.revision, standings: told.standings });
  return told.count === BATCH;
}
