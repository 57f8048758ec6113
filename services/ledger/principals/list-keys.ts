import type { KeyRecord } from './keys.ts';
import { recordOf } from './keys.ts';
import type { Database } from '../database/schema.ts';

export interface KeyFilter {
  readonly team?: string | undefined;
  readonly user?: string | undefined;
  readonly organisation?: string | undefined;
}

export interface KeyPage {
  readonly limit: number;
  /** Those after this id. */
  readonly after?: string | undefined;
}

/** A page of keys, the revoked ones too, by id, which is by age. */
export async function pageOfKeys(
  db: Database,
  { team, user, organisation }: KeyFilter,
  { limit, after }: KeyPage,
): Promise<KeyRecord[]> {
  let query = db.selectFrom('api_keys').selectAll().orderBy('id').limit(limit);
  if (team !== undefined) query = query.where('team', '=', team);
  if (user !== undefined) query = query.where('user_id', '=', user);
  if (organisation !== undefined) query = query.where('organisation', '=', organisation);
  if (after !== undefined) query = query.where('id', '>', after);
  return (await query.execute()).map(recordOf);
}
