import { AUDIT_HANDLERS } from './audit.ts';
import { BLOCK_HANDLERS } from './blocks.ts';
import { BUDGET_HANDLERS } from './budgets.ts';
import type { Handlers } from './handler.ts';
import { KEY_HANDLERS } from './keys.ts';
import { LIMIT_HANDLERS } from './limits.ts';
import { PRINCIPAL_HANDLERS } from './principals.ts';
import { USAGE_HANDLERS } from './usage.ts';

export const HANDLERS: Handlers = {
  ...PRINCIPAL_HANDLERS,
  ...KEY_HANDLERS,
  ...BUDGET_HANDLERS,
  ...LIMIT_HANDLERS,
  ...BLOCK_HANDLERS,
  ...USAGE_HANDLERS,
  ...AUDIT_HANDLERS,
};
