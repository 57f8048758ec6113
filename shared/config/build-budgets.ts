import { createHash } from 'node:crypto';
import { defaultBudgetName } from '../budgets.ts';
import type { ConfigFile } from './schema.ts';
import type { BudgetConfig } from './types.ts';

type BudgetFields = ConfigFile['budgets'][number];

/** Those of the file, then those of its keys. A key that the file names is known by its id from here on. */
export function buildBudgets({ budgets, auth }: ConfigFile): BudgetConfig[] {
  const named = new Map(auth.keys.map(({ name }) => [`key:${name}`, `key:config:${name}`]));
  return [
    ...budgets.map((fields) =>
      buildBudget({ ...fields, scope: named.get(fields.scope) ?? fields.scope }, fields.scope),
    ),
    ...auth.keys.flatMap(({ name, budget }) =>
      budget === undefined ? [] : [buildBudget({ ...budget, scope: `key:config:${name}` }, `key:${name}`)],
    ),
  ];
}

/** @param shownScope as people know it */
function buildBudget(fields: BudgetFields, shownScope: string): BudgetConfig {
  const { scope, amount: amountNanoUsd, time_zone: timeZone, hard: isHard, on_limit: onLimit } = fields;
  const { per, rollingMs } = fields.per;
  const name = fields.name ?? defaultBudgetName(shownScope, per);
  const identity = JSON.stringify([scope, per, rollingMs, timeZone, name]);
  return {
    id: `config:${createHash('sha256').update(identity).digest('hex').slice(0, 16)}`,
    ...{ name, scope, amountNanoUsd, per, rollingMs, timeZone, isHard, onLimit },
    alertAt: fields.alert_at,
  };
}
