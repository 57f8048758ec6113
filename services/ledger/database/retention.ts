import { sql } from 'kysely';
import type { RetentionConfig } from '../../../shared/config.ts';
import { CUBES } from '../core/cubes.ts';
import { listPartitions } from './partitions.ts';
import type { Database, RetentionMarksTable } from './schema.ts';

type Kept = RetentionMarksTable['kept'];

const DAY_MS = 86_400_000;
/** An attempt may begin this much later than its request was made, whose time is in its id. */
const LATEST_START_MS = DAY_MS;
/** Closed leases are of use to nobody but who looks into a budget's past. */
const CLOSED_LEASES_MS = 7 * DAY_MS;
/** A retried change of the admin API comes within minutes. */
const IDEMPOTENT_ANSWERS_MS = DAY_MS;
/** Rows of one statement: hundreds of milliseconds. */
const ROWS_AT_ONCE = 10_000;
/** Whoever would make writers wait for longer tries again tomorrow. */
const LOCK_TIMEOUT = sql`set local lock_timeout = '3s'`;

/**
 * Drops what is older than it has to be. Sums and attempts are marked in one run and dropped in the next: a report that
 * began in between still finds what it planned with. Whole partitions of attempts are dropped; the money of them stays in the
 * daily sums.
 * @throws what Postgres said; done again it goes on
 */
export async function applyRetention(db: Database, retention: RetentionConfig, now: Date): Promise<void> {
  const marks = await db.selectFrom('retention_marks').selectAll().execute();
  for (const { kept, since } of marks) await drop[kept](db, since);
  await advanceMark(db, 'attempts', await lastEndBefore(db, cutOff(now, retention.attemptsMs)));
  await advanceMark(db, 'rollups_hourly', cutOff(now, retention.hourlyRollupsMs));
  await advanceMark(db, 'rollups_daily', cutOff(now, retention.dailyRollupsMs));

  const poisonedBefore = cutOff(now, retention.poisonedMs);
  if (poisonedBefore !== undefined)
    await db.deleteFrom('poisoned_events').where('put_aside_at', '<', poisonedBefore).execute();
  const answeredBefore = new Date(now.getTime() - IDEMPOTENT_ANSWERS_MS);
  await db.deleteFrom('idempotent_answers').where('answered_at', '<', answeredBefore).execute();
  await db
    .deleteFrom('budget_leases')
    .where('is_closed', '=', true)
    .where('expires_at', '<', new Date(now.getTime() - CLOSED_LEASES_MS))
    .execute();
}

const drop: Readonly<Record<Kept, (db: Database, before: Date) => Promise<void>>> = {
  attempts: dropAttempts,
  rollups_hourly: async (db, before) => void (await deleteRollups(db, 'usage_hourly', 'hour', before)),
  rollups_daily: async (db, before) => {
    // Four days that are gone in part still tell what a user costs at most (rank-groups.ts).
    await sql`delete from usage_user_costs where starts_on + 4 <= ${before}`.execute(db);
    await sql`delete from usage_four_days where starts_on + 4 <= ${before}`.execute(db);
    if ((await deleteRollups(db, 'usage_daily', 'day', before)) > 0) await deleteUnusedGroups(db);
  },
};

/** At a whole day; undefined: for ever. */
function cutOff(now: Date, keptForMs: number | undefined): Date | undefined {
  if (keptForMs === undefined) return undefined;
  return new Date(Math.floor((now.getTime() - keptForMs) / DAY_MS) * DAY_MS);
}

/** From when on every attempt is there, once the partitions that end before are gone. */
async function lastEndBefore(db: Database, before: Date | undefined): Promise<Date | undefined> {
  const ends = (await listPartitions(db)).map(({ endsAt }) => endsAt.getTime() + LATEST_START_MS);
  const last = before === undefined ? undefined : ends.findLast((end) => end <= before.getTime());
  return last === undefined ? undefined : new Date(last);
}

/** A mark never goes back: what was dropped does not come again when more is to be kept. */
async function advanceMark(db: Database, kept: Kept, since: Date | undefined): Promise<void> {
  if (since === undefined) return;
  await db
    .insertInto('retention_marks')
    .values({ kept, since })
    .onConflict((conflict) =>
      conflict.column('kept').doUpdateSet({ since: sql`greatest(retention_marks.since, excluded.since)` }),
    )
    .execute();
}

async function dropAttempts(db: Database, before: Date): Promise<void> {
  for (const { table, endsAt } of await listPartitions(db)) {
    if (endsAt.getTime() + LATEST_START_MS > before.getTime()) return;
    await db.transaction().execute(async (transaction) => {
      await LOCK_TIMEOUT.execute(transaction);
      await sql`drop table ${sql.table(table)}`.execute(transaction);
    });
  }
}

/** @returns how many */
async function deleteRollups(db: Database, table: string, bucket: string, before: Date): Promise<number> {
  const [rollups, time] = [sql.table(table), sql.ref(bucket)];
  let deleted = 0;
  for (const { id } of Object.values(CUBES)) {
    for (let some = ROWS_AT_ONCE; some === ROWS_AT_ONCE; deleted += some) {
      const { numAffectedRows } = await sql`
        delete from ${rollups} where ctid = any(array(
          select ctid from ${rollups} where cube = ${id} and ${time} < ${before} limit ${ROWS_AT_ONCE}
        ))`.execute(db);
      some = Number(numAffectedRows);
    }
  }
  return deleted;
}

/**
 * Users and tags come and go, and so do their groups. They are looked for first; then writers wait while those that are still
 * unused go, or a sum could be added to a group in that moment.
 */
async function deleteUnusedGroups(db: Database): Promise<void> {
  const isUnused = sql`
    not exists (select from usage_daily where usage_daily.cube = usage_groups.cube and group_id = usage_groups.id)
    and not exists (select from usage_hourly where usage_hourly.cube = usage_groups.cube and group_id = usage_groups.id)
    and not exists (
      select from usage_four_days where usage_four_days.cube = usage_groups.cube and group_id = usage_groups.id
    )
    and not exists (select from usage_user_costs where group_id = usage_groups.id)`;
  const { rows } = await sql<{ id: string }>`
    select id from usage_groups where ${isUnused} limit ${ROWS_AT_ONCE}`.execute(db);
  if (rows.length === 0) return;
  await db.transaction().execute(async (transaction) => {
    await LOCK_TIMEOUT.execute(transaction);
    await sql`lock table usage_groups in share row exclusive mode`.execute(transaction);
    await sql`
      delete from usage_groups where id = any(${rows.map(({ id }) => id)}::uuid[]) and ${isUnused}`.execute(
      transaction,
    );
  });
}
