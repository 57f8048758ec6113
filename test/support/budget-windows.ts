import { withConnection } from '../../infra/servers/postgres-database.ts';

/** How a budget stands in the ledger, for one subject; nano-dollars. */
export interface WindowState {
  readonly budget: string;
  readonly subject: string;
  readonly limit: number;
  readonly spent: number;
  readonly leased: number;
  readonly excess: number;
  /** Of the events that were charged to its subject. */
  readonly attempts: number;
}

/** The windows of the budgets of one model, by name of the budget; `attempts` and their cost are of that model. */
export function windowsOf(databaseUrl: string, subject: string): Promise<WindowState[]> {
  return withConnection(databaseUrl, async (client) => {
    const { rows } = await client.query<Record<string, string>>(
      `select b.name, w.subject, w.limit_nano_usd, w.spent_nano_usd, w.leased_nano_usd, w.excess_nano_usd
       from budget_windows w join budgets b on b.id = w.budget_id where w.subject = $1 order by b.name`,
      [subject],
    );
    const found = await client.query<Record<string, string>>(
      `select count(*) as attempts from attempts where 'model:' || deployment = $1`,
      [subject],
    );
    return rows.map((row) => ({
      budget: row['name'] ?? '',
      subject: row['subject'] ?? '',
      limit: Number(row['limit_nano_usd']),
      spent: Number(row['spent_nano_usd']),
      leased: Number(row['leased_nano_usd']),
      excess: Number(row['excess_nano_usd']),
      attempts: Number(found.rows[0]?.['attempts']),
    }));
  });
}
