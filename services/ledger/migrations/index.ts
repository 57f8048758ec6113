import type { Migration } from 'kysely/migration';
import { usage } from './0001-usage.ts';
import { routing } from './0002-routing.ts';

/** Every migration under its name, in order. A merged one is never edited, renamed or taken out: the next one mends it. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-usage': usage,
  '0002-routing': routing,
};
