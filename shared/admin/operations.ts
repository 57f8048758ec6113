import { AUDIT_OPERATIONS } from './audit.ts';
import { BLOCK_OPERATIONS } from './blocks.ts';
import { BUDGET_OPERATIONS } from './budgets.ts';
import { KEY_OPERATIONS } from './keys.ts';
import { LIMIT_OPERATIONS } from './limits.ts';
import type { Operation } from './operation.ts';
import { ORGANISATION_OPERATIONS, TEAM_OPERATIONS, USER_OPERATIONS } from './principals.ts';
import { USAGE_OPERATIONS } from './usage.ts';

/** Every operation of the admin API, by its id. The ledger has a handler for each, the OpenAPI document a description. */
export const OPERATIONS = {
  ...ORGANISATION_OPERATIONS,
  ...TEAM_OPERATIONS,
  ...USER_OPERATIONS,
  ...KEY_OPERATIONS,
  ...BUDGET_OPERATIONS,
  ...LIMIT_OPERATIONS,
  ...BLOCK_OPERATIONS,
  ...USAGE_OPERATIONS,
  ...AUDIT_OPERATIONS,
};

export type Operations = typeof OPERATIONS;
export type OperationId = keyof Operations;

export const OPERATION_IDS = Object.keys(OPERATIONS) as readonly OperationId[];

/** Without the types of its fields. */
export function operationOf(id: OperationId): Operation {
  return OPERATIONS[id];
}
