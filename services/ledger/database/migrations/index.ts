import type { Migration } from 'kysely/migration';
import { usage } from './0001-usage.ts';
import { routing } from './0002-routing.ts';
import { principals } from './0003-principals.ts';
import { budgets } from './0004-budgets.ts';
import { audit } from './0005-audit.ts';
import { partitions } from './0006-partitions.ts';
import { rollups } from './0007-rollups.ts';
import { keySecret } from './0008-key-secret.ts';
import { scopes } from './0009-scopes.ts';
import { reports } from './0010-reports.ts';
import { crossings } from './0011-crossings.ts';
import { fourDays } from './0012-four-days.ts';
import { wholeCosts } from './0013-whole-costs.ts';

/** Every migration under its name, in order. A merged one is never edited, renamed or taken out: the next one mends it. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-usage': usage,
  '0002-routing': routing,
  '0003-principals': principals,
  '0004-budgets': budgets,
  '0005-audit': audit,
  '0006-partitions': partitions,
  '0007-rollups': rollups,
  '0008-key-secret': keySecret,
  '0009-scopes': scopes,
  '0010-reports': reports,
  '0011-crossings': crossings,
  '0012-four-days': fourDays,
  '0013-whole-costs': wholeCosts,
};
