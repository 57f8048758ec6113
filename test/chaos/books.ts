import { setTimeout as sleep } from 'node:timers/promises';
import { withConnection } from '../../infra/servers/postgres-database.ts';

/** One window of a budget, and the sum of the attempts that fall in it, each in nano-dollars. */
export interface Book {
  readonly budget: string;
  readonly subject: string;
  readonly limit: bigint;
  readonly spent: bigint;
  readonly leased: bigint;
  readonly excess: bigint;
  readonly events: bigint;
}

export interface Books {
  readonly windows: readonly Book[];
  readonly rows: number;
  /** Rows by who reported them. */
  readonly bySource: Readonly<Record<string, number>>;
  /** Sum of what the attempts cost. */
  readonly costNanoUsd: bigint;
  /** The same by the rollups that reports read. */
  readonly rollupNanoUsd: bigint;
  readonly openLeases: number;
}

/** The attempts of a window: by the column that its scope's kind names. */
const WINDOWS = `
  select w.budget_id as budget, w.subject, w.limit_nano_usd as limit, w.spent_nano_usd as spent,
    w.leased_nano_usd as leased, w.excess_nano_usd as excess,
    (select coalesce(sum(a.cost_nano_usd), 0)::bigint from attempts a
      where a.charged_at >= w.starts_at and a.charged_at < w.ends_at and
        case split_part(w.subject, ':', 1)
          when 'total' then true
          when 'team' then a.team = substr(w.subject, 6)
          when 'key' then a.key_id = substr(w.subject, 5)
          when 'route' then a.route = substr(w.subject, 7)
          else false
        end) as events
  from budget_windows w order by w.budget_id, w.subject`;

const TOTALS = `
  select source, count(*)::int as rows, coalesce(sum(cost_nano_usd), 0)::bigint as cost from attempts group by source`;

/** What the database says of itself, at one moment: balances beside the sums that they must be. */
export function readBooks(databaseUrl: string): Promise<Books> {
  return withConnection(databaseUrl, async (client) => {
    await client.query('begin isolation level repeatable read read only');
    const windows = await client.query<Record<keyof Book, string>>(WINDOWS);
    const totals = await client.query<{ source: string; rows: number; cost: string }>(TOTALS);
    const leases = await client.query<{ open: number }>(
      'select count(*)::int as open from budget_leases where not is_closed',
    );
    const rollup = await client.query<{ cost: string }>(
      // The main cube: users and tags are counted again in theirs.
      'select coalesce(sum(cost_nano_usd), 0)::bigint as cost from usage_daily where cube = 1',
    );
    await client.query('commit');
    return {
      windows: windows.rows.map(({ budget, subject, limit, spent, leased, excess, events }) => ({
        ...{ budget, subject },
        ...{ limit: BigInt(limit), spent: BigInt(spent), leased: BigInt(leased) },
        ...{ excess: BigInt(excess), events: BigInt(events) },
      })),
      rows: totals.rows.reduce((sum, { rows }) => sum + rows, 0),
      bySource: Object.fromEntries(totals.rows.map(({ source, rows }) => [source, rows])),
      costNanoUsd: totals.rows.reduce((sum, { cost }) => sum + BigInt(cost), 0n),
      rollupNanoUsd: BigInt(rollup.rows[0]?.cost ?? 0),
      openLeases: leases.rows[0]?.open ?? 0,
    };
  });
}

/** Every way in which the books do not balance, now that nothing is under way. */
export function faultsOf({ windows, costNanoUsd, rollupNanoUsd }: Books): string[] {
  const faults = windows.flatMap(({ budget, subject, limit, spent, leased, excess, events }) => [
    ...(spent === events ? [] : [`${budget} of ${subject}: spent ${spent}, its events are ${events}`]),
    ...(leased === 0n ? [] : [`${budget} of ${subject}: ${leased} still leased`]),
    ...(excess === 0n ? [] : [`${budget} of ${subject}: ${excess} beyond ${limit}`]),
  ]);
  if (rollupNanoUsd !== costNanoUsd) faults.push(`the rollups say ${rollupNanoUsd}, the attempts ${costNanoUsd}`);
  if (windows.length === 0) faults.push('no budget was charged');
  return faults;
}

/** Waits for leases to return, which the dead ones' do only when they expire. */
export async function settledBooks(databaseUrl: string, withinMs: number): Promise<Books> {
  const givesUpAt = performance.now() + withinMs;
  for (;;) {
    const books = await readBooks(databaseUrl);
    if (faultsOf(books).length === 0 || performance.now() > givesUpAt) return books;
    await sleep(500);
  }
}
