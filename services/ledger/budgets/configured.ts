import { isDeepStrictEqual } from 'node:util';
import type { Selectable, Transaction } from 'kysely';
import { sql } from 'kysely';
import type { BudgetConfig } from '../../../shared/config.ts';
import type { BudgetsTable, Database, Tables } from '../database/schema.ts';
import { checkBudget, columnsOf, writeBudget } from './store.ts';

/** Ledgers that start at once wait for each other. Any number will do, as long as nobody else in the database uses it. */
const LOCK = 7_583_021;

/**
 * Makes the budgets of the configuration file those that are kept: new ones are made, changed ones changed, and those
 * that it has no more hold no longer. What was spent stays with a budget as long as its scope, period and name do. Of
 * ledgers with different files, the last one that started is right.
 * @throws GatewayError(`invalid_request`) for one that is none; nothing is changed then
 */
export async function keepConfigured(db: Database, configured: readonly BudgetConfig[]): Promise<void> {
  const columns = new Map(configured.map(({ id, ...budget }) => [id, columnsOf(checkBudget(budget))]));
  await db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(${LOCK})`.execute(tx);
    for (const [id, row] of columns) await ensure(tx, id, row);
    // All of them before their windows: who waits for one of these rows must not be waited for at a window.
    const kept = await tx
      .selectFrom('budgets')
      .selectAll()
      .where('is_configured', '=', true)
      .orderBy('id')
      .forUpdate()
      .execute();
    for (const budget of kept) {
      const wanted = columns.get(budget.id);
      if (wanted === undefined) {
        if (budget.is_live) await writeBudget(tx, budget.id, { is_live: false });
      } else if (!budget.is_live || !isSame(budget, wanted)) {
        await writeBudget(tx, budget.id, { ...wanted, is_live: true });
      }
    }
  });
}

type Columns = ReturnType<typeof columnsOf>;

async function ensure(tx: Transaction<Tables>, id: string, columns: Columns): Promise<void> {
  await tx
    .insertInto('budgets')
    .values({ ...columns, id, is_configured: true, is_live: false })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}

function isSame(budget: Selectable<BudgetsTable>, wanted: Columns): boolean {
  const { name, amount_nano_usd, is_hard, alert_at, on_limit } = wanted;
  const said = { name, amount_nano_usd, is_hard, alert_at };
  const is = { name: budget.name, amount_nano_usd: budget.amount_nano_usd };
  return isDeepStrictEqual(
    { ...is, is_hard: budget.is_hard, alert_at: budget.alert_at, on_limit: budget.on_limit },
    { ...said, on_limit: JSON.parse(on_limit) as unknown },
  );
}
