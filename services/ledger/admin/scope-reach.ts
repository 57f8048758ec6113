import { GatewayError } from '../../../shared/errors.ts';
import type { ScopeName } from '../../../shared/scope.ts';
import { parseScope } from '../../../shared/scope.ts';
import type { Reach } from '../core/reach.ts';
import type { Database } from '../database/schema.ts';
import type { List } from './page.ts';
import { cursorOf, pageOf } from './page.ts';

/** Rules of others that are looked through for one page at most; the page is then shorter, and the next goes on. */
const MAX_SCANNED = 5_000;
const SCAN = 500;

/** Those of these scopes that are within reach: of a team its own, and those of its users and keys. */
export async function scopesWithin(
  db: Database,
  reach: Reach,
  scopes: readonly ScopeName[],
): Promise<ReadonlySet<ScopeName>> {
  if (reach.kind === 'all') return new Set(scopes);
  const parsed = scopes.flatMap((scope) => parseScope(scope) ?? []);
  const idsOf = (kind: string): string[] => parsed.filter((scope) => scope.kind === kind).map(({ id }) => id);
  const [users, keys] = await Promise.all([
    selectOfTeam(db, 'users', idsOf('user'), reach.team),
    selectOfTeam(db, 'api_keys', idsOf('key'), reach.team),
  ]);
  return new Set([`team:${reach.team}`, ...users.map((id) => `user:${id}`), ...keys.map((id) => `key:${id}`)]);
}

async function selectOfTeam(
  db: Database,
  table: 'users' | 'api_keys',
  ids: readonly string[],
  team: string,
): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await db.selectFrom(table).select('id').where('id', 'in', ids).where('team', '=', team).execute();
  return rows.map(({ id }) => id);
}

/** @throws GatewayError(`forbidden`, param `scope`) */
export async function refuseForeignScope(db: Database, reach: Reach, scope: ScopeName): Promise<void> {
  if ((await scopesWithin(db, reach, [scope])).has(scope)) return;
  const rule = 'A team’s administrator may do this for the scopes of its team, its users and its keys only.';
  throw new GatewayError('forbidden', rule, { param: 'scope' });
}

/** How to list rules: the next so many behind a key, and what there is to know of one. */
interface Rules<Rule, Item> {
  readonly fetch: (page: { readonly after: string | undefined; readonly limit: number }) => Promise<Rule[]>;
  readonly scopeOf: (rule: Rule) => ScopeName;
  readonly keyOf: (rule: Rule) => string;
  readonly show: (rule: Rule) => Item;
}

/** A page of the rules within reach. Of a team it may have fewer than there are, even none, and go on. */
export async function pageWithin<Rule, Item extends object>(
  db: Database,
  reach: Reach,
  { limit, after }: { readonly limit: number; readonly after: string | undefined },
  { fetch, scopeOf, keyOf, show }: Rules<Rule, Item>,
): Promise<List<Item>> {
  if (reach.kind === 'all') return pageOf(await fetch({ after, limit: limit + 1 }), limit, show, keyOf);
  const kept: Rule[] = [];
  let last = after;
  for (let scanned = 0; ;) {
    const rules = await fetch({ after: last, limit: SCAN });
    const within = await scopesWithin(db, reach, rules.map(scopeOf));
    kept.push(...rules.filter((rule) => within.has(scopeOf(rule))));
    scanned += rules.length;
    const end = rules.at(-1);
    last = end === undefined ? last : keyOf(end);
    if (rules.length < SCAN || kept.length > limit) return pageOf(kept, limit, show, keyOf);
    if (scanned >= MAX_SCANNED) return { ...pageOf(kept, limit, show, keyOf), ...goingOn(last) };
  }
}

function goingOn(key: string | undefined): Pick<List<never>, 'has_more' | 'next_cursor'> {
  return key === undefined ? { has_more: false } : { has_more: true, next_cursor: cursorOf(key) };
}
