import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Database, Tables } from './schema.ts';

/** Besides the present one: a ledger that was away for a quarter finds its months made. */
const MONTHS_AHEAD = 3;
/** Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_002;

/** A partition that holds a range of ids, and so of times. */
export interface Partition {
  readonly table: string;
  /** The requests of its attempts were made before this. */
  readonly endsAt: Date;
}

/** The first id that a request of this millisecond can have. */
export function firstIdOf(at: Date): string {
  return `req_${at.getTime().toString(16).padStart(12, '0')}`;
}

/**
 * Makes the partitions of this month and the next ones, where they are missing. Rows of theirs that came before they
 * were made are moved into them. Ledgers that do so at once wait for each other.
 * @throws what Postgres said; a lock that is held for long is no reason to wait, for there are months ahead
 */
export async function makePartitions(db: Database, now: Date): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${LOCK})`.execute(transaction);
    // Behind a long report, everybody else's would wait behind us.
    await sql`set local lock_timeout = '3s'`.execute(transaction);
    const months = await missingMonths(transaction, now);
    for (const month of months) await makePartition(transaction, month);
  });
}

/** In the order of their times. The one for ids of another shape is not among them. */
export async function listPartitions(db: Kysely<Tables>): Promise<Partition[]> {
  const { rows } = await sql<{ table: string; bound: string }>`
    select child.relname as table, pg_get_expr(child.relpartbound, child.oid) as bound
    from pg_inherits join pg_class child on child.oid = inhrelid
    where inhparent = 'attempts'::regclass`.execute(db);
  return rows
    .flatMap(({ table, bound }) => {
      const end = /TO \('req_([0-9a-f]{12})'\)$/.exec(bound)?.[1];
      return end === undefined ? [] : [{ table, endsAt: new Date(Number.parseInt(end, 16)) }];
    })
    .sort((a, b) => a.endsAt.getTime() - b.endsAt.getTime());
}

/** Months from the end of the last partition on, so that there is no hole between two. */
async function missingMonths(db: Kysely<Tables>, now: Date): Promise<Date[]> {
  const last = (await listPartitions(db)).at(-1)?.endsAt ?? monthOf(now, 0);
  const until = monthOf(now, MONTHS_AHEAD);
  const months: Date[] = [];
  for (let month = last; month <= until; month = monthOf(month, 1)) months.push(month);
  return months;
}

/** Attached, not made in place: that would make writers wait. */
async function makePartition(db: Kysely<Tables>, month: Date): Promise<void> {
  const name = `attempts_${month.toISOString().slice(0, 7).replace('-', '_')}`;
  const table = sql.table(name);
  const from = sql.lit(firstIdOf(month));
  const to = sql.lit(firstIdOf(monthOf(month, 1)));
  await sql`create table ${table} (like attempts including all)`.execute(db);
  await moveFromDefault(db, name, { from, to });
  await sql`
    create trigger append_only before update or delete or truncate on ${table}
    for each statement execute function refuse_change()`.execute(db);
  await sql`alter table attempts attach partition ${table} for values from (${from}) to (${to})`.execute(db);
}

async function moveFromDefault(
  db: Kysely<Tables>,
  name: string,
  { from, to }: { from: ReturnType<typeof sql.lit>; to: ReturnType<typeof sql.lit> },
): Promise<void> {
  const range = sql`attempt_id >= ${from} and attempt_id < ${to}`;
  const { rows } = await sql`select from attempts_default where ${range} limit 1`.execute(db);
  if (rows.length === 0) return;
  await sql`alter table attempts_default disable trigger user`.execute(db);
  await sql`
    with early as (delete from attempts_default where ${range} returning *)
    insert into ${sql.table(name)} select * from early`.execute(db);
  await sql`alter table attempts_default enable trigger user`.execute(db);
}

function monthOf(at: Date, ahead: number): Date {
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + ahead));
}
