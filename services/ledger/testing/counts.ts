import { sql } from 'kysely';
import type { Database } from '../database/schema.ts';

export async function countAttempts(db: Database): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`select count(*) as count from attempts`.execute(db);
  return Number(rows[0]?.count);
}

/** Polls, because what is waited for happens on another connection. @throws Error after `withinMs` */
export async function until(what: string, isTrue: () => Promise<boolean>, withinMs = 15_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
