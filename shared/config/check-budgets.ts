import { checkTarget } from './check-target.ts';
import type { Surroundings } from './check-target.ts';
import { parseDuration } from './duration.ts';
import type { ConfigPath } from './errors.ts';
import { formatPath, suggest } from './errors.ts';
import { isRecord } from './fields.ts';
import { isBlank } from './raw-file.ts';
import type { Finding } from './raw-file.ts';

type Raw = Record<string, unknown>;

interface RawBudget {
  readonly path: ConfigPath;
  readonly budget: Raw;
  readonly scope: unknown;
}

/** That the routes and keys that budgets name are there, and that no budget is written twice. */
export function checkBudgets(file: Raw, around: Surroundings): Finding[] {
  const keys = isRecord(file['auth']) && Array.isArray(file['auth']['keys']) ? file['auth']['keys'] : [];
  const keyNames = keys.flatMap((key: unknown) =>
    isRecord(key) && typeof key['name'] === 'string' ? key['name'] : [],
  );
  const routes = routeNames(file);
  const budgets = [...ownBudgets(file['budgets']), ...keyBudgets(keys)];
  return [
    ...budgets.flatMap((budget) => [
      ...checkScope(budget, routes, keyNames),
      ...checkDowngrade(budget, routes, around),
    ]),
    ...checkTwice(budgets),
  ];
}

function ownBudgets(budgets: unknown): RawBudget[] {
  if (!Array.isArray(budgets)) return [];
  return budgets.flatMap((budget: unknown, index) =>
    isRecord(budget) ? [{ path: ['budgets', index], budget, scope: budget['scope'] }] : [],
  );
}

function keyBudgets(keys: readonly unknown[]): RawBudget[] {
  return keys.flatMap((key, index) => {
    const budget = isRecord(key) ? key['budget'] : undefined;
    if (!isRecord(key) || !isRecord(budget)) return [];
    return [{ path: ['auth', 'keys', index, 'budget'], budget, scope: `key:${String(key['name'])}` }];
  });
}

/** Of the whole gateway and of all routers. */
function routeNames(file: Raw): string[] {
  const routers = isRecord(file['routers']) ? Object.values(file['routers']) : [];
  return [file, ...routers].flatMap((of) => (isRecord(of) && isRecord(of['routes']) ? Object.keys(of['routes']) : []));
}

function checkScope({ path, scope }: RawBudget, routes: readonly string[], keys: readonly string[]): Finding[] {
  if (typeof scope !== 'string') return [];
  const at = [...path, 'scope'];
  const [kind, id] = [scope.slice(0, scope.indexOf(':')), scope.slice(scope.indexOf(':') + 1)];
  if (id === '*') return [];
  if (kind === 'route' && !routes.includes(id))
    return [{ path: at, message: `there is no route \`${id}\``, hint: suggest(id, routes) }];
  // The ids of keys that are made with the admin API, or of tokens, are not the file's to know.
  if (kind !== 'key' || keys.includes(id) || /^(key_|config:|jwt:)/.test(id)) return [];
  return [{ path: at, message: `there is no key \`${id}\` in \`auth.keys\``, hint: suggest(id, keys) }];
}

function checkDowngrade({ path, budget }: RawBudget, routes: readonly string[], around: Surroundings): Finding[] {
  const onLimit = budget['on_limit'];
  const to = isRecord(onLimit) ? onLimit['downgrade'] : undefined;
  if (typeof to !== 'string' || to === '' || routes.includes(to)) return [];
  const at = [...path, 'on_limit', 'downgrade'];
  if (to.includes('/')) return checkTarget(to, at, around);
  return [{ path: at, message: `there is no route \`${to}\``, hint: suggest(to, routes) }];
}

/** A budget is known by its scope, period, time zone and name: two of the same would share their spending. */
function checkTwice(budgets: readonly RawBudget[]): Finding[] {
  const first = new Map<string, ConfigPath>();
  return budgets.flatMap(({ path, budget, scope }) => {
    const zone = isBlank(budget['time_zone']) ? 'UTC' : budget['time_zone'];
    const name = isBlank(budget['name']) ? null : budget['name'];
    const identity = JSON.stringify([scope, lengthOf(budget['per']), zone, name]);
    const same = first.get(identity);
    if (same === undefined) first.set(identity, path);
    if (same === undefined || isBlank(scope)) return [];
    return [{ path, message: `is the same budget as ${formatPath(same)}`, hint: 'give one of them a `name`' }];
  });
}

function lengthOf(per: unknown): unknown {
  const rolling = isRecord(per) ? per['rolling'] : undefined;
  if (typeof rolling !== 'string') return per;
  try {
    return parseDuration(rolling);
  } catch {
    return per;
  }
}
