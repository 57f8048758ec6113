import { checkTarget } from './check-target.ts';
import type { Surroundings } from './check-target.ts';
import type { ConfigPath } from './errors.ts';
import { suggest } from './errors.ts';
import { isRecord } from './fields.ts';
import { entriesOf, isBlank } from './raw-file.ts';
import type { Finding } from './raw-file.ts';
import { DEFAULT_POLICY, STRATEGIES } from './types.ts';
import type { RouteStrategy } from './types.ts';

type Raw = Record<string, unknown>;

/** For these a target's weight counts nothing. */
const WITHOUT_WEIGHTS: readonly RouteStrategy[] = ['ordered', 'cheapest', 'complexity'];

/** Routes that are looked up together: the whole gateway's, or a router's before those. */
interface Scope {
  /** Where `own` stands. */
  readonly at: ConfigPath;
  readonly own: Raw;
  /** By name, each with where it stands. */
  readonly all: ReadonlyMap<string, { readonly at: ConfigPath; readonly route: Raw }>;
  /** Of the router, which goes before that of its routes. */
  readonly strategy: unknown;
}

export function checkRoutes(file: Raw, around: Surroundings): Finding[] {
  const routes = isRecord(file['routes']) ? file['routes'] : {};
  const routers = isRecord(file['routers']) ? file['routers'] : {};
  const whole = scopeOf(['routes'], routes, [], undefined);
  return [
    ...checkScope(whole, around),
    ...entriesOf(routers).flatMap(([name, router]) => checkRouter(name, router, whole, around)),
  ];
}

function scopeOf(at: ConfigPath, own: Raw, others: Scope['all'] | [], strategy: unknown): Scope {
  const added = entriesOf(own).map(([name, route]) => [name, { at: [...at, name], route }] as const);
  return { at, own, all: new Map([...others, ...added]), strategy };
}

function checkScope(scope: Scope, around: Surroundings): Finding[] {
  return [
    ...entriesOf(scope.own).flatMap(([name, route]) => checkRoute([...scope.at, name], route, scope, around)),
    ...checkCircles(scope),
  ];
}

function checkRouter(name: string, router: Raw, whole: Scope, around: Surroundings): Finding[] {
  const at = ['routers', name];
  const own = isRecord(router['routes']) ? router['routes'] : {};
  const scope = scopeOf([...at, 'routes'], own, whole.all, router['strategy']);
  const everybody = Object.keys(around.providers);
  return [
    ...checkTargets([...at, 'fallbacks'], router['fallbacks'], around),
    ...checkRegions([...at, 'regions'], router['regions'], everybody, around),
    ...checkDowngrade(at, router, scope, around),
    ...checkScope(scope, around),
  ];
}

function checkRoute(at: ConfigPath, route: Raw, scope: Scope, around: Surroundings): Finding[] {
  const lists = targetListsOf(at, route);
  const providers = lists.flatMap(({ targets }) => (Array.isArray(targets) ? targets.flatMap(providerOf) : []));
  return [
    ...checkForm(at, route),
    ...lists.flatMap(({ path, targets }) => checkTargets(path, targets, around)),
    ...checkTargets([...at, 'fallbacks'], route['fallbacks'], around),
    ...checkStrategy(at, route, lists, scope),
    ...(providers.length === 0 ? [] : checkRegions([...at, 'regions'], route['regions'], providers, around)),
    ...checkDowngrade(at, route, scope, around),
  ];
}

interface TargetList {
  readonly path: ConfigPath;
  readonly targets: unknown;
}

function targetListsOf(at: ConfigPath, route: Raw): TargetList[] {
  const variants = isRecord(route['variants']) ? route['variants'] : {};
  return [
    { path: [...at, 'targets'], targets: route['targets'] },
    ...entriesOf(variants).map(([name, variant]) => ({
      path: [...at, 'variants', name, 'targets'],
      targets: variant['targets'],
    })),
  ];
}

/** Targets, or two variants at least that have them. */
function checkForm(at: ConfigPath, { targets, variants }: Raw): Finding[] {
  if (isBlank(variants)) return isBlank(targets) ? [{ path: [...at, 'targets'], message: 'is required' }] : [];
  const path = [...at, 'variants'];
  if (!isBlank(targets)) return [{ path, message: 'stands in place of `targets`, not beside it' }];
  return isRecord(variants) && Object.keys(variants).length < 2 ? [{ path, message: 'must name at least two' }] : [];
}

function checkTargets(path: ConfigPath, targets: unknown, around: Surroundings): Finding[] {
  if (!Array.isArray(targets)) return [];
  return targets.flatMap((target: unknown, index) => {
    const at = isRecord(target) ? [...path, index, 'model'] : [...path, index];
    const reference = isRecord(target) ? target['model'] : target;
    return typeof reference === 'string' ? checkTarget(reference, at, around) : [];
  });
}

/** What is said for a strategy that is not the route's. Of one that is misspelt nobody knows. */
function checkStrategy(at: ConfigPath, route: Raw, lists: readonly TargetList[], scope: Scope): Finding[] {
  const named = [scope.strategy, route['strategy']].find((each) => !isBlank(each)) ?? DEFAULT_POLICY.strategy;
  const strategy = STRATEGIES.find((each) => each === named);
  if (strategy === undefined) return [];
  const targets = lists.flatMap(mapsOf);
  const weighted = targets.filter(({ target: { weight } }) => !isBlank(weight) && Number(weight) !== 1);
  const tiered = targets.filter(({ target: { tier } }) => !isBlank(tier));
  return [
    ...(WITHOUT_WEIGHTS.includes(strategy) ? weighted : []).map(({ path }) => ({
      path: [...path, 'weight'],
      message: `has no effect with \`strategy: ${strategy}\``,
    })),
    ...(strategy === 'complexity' ? checkTiers(at, lists, tiered.length) : noTiers(at, route, tiered)),
  ];
}

interface TargetMap {
  readonly path: ConfigPath;
  readonly target: Raw;
}

function mapsOf({ path, targets }: TargetList): TargetMap[] {
  if (!Array.isArray(targets)) return [];
  return targets.flatMap((target: unknown, index) => (isRecord(target) ? [{ path: [...path, index], target }] : []));
}

function checkTiers(at: ConfigPath, lists: readonly TargetList[], count: number): Finding[] {
  const given = lists.find(({ targets }) => Array.isArray(targets));
  if (count > 0 || given === undefined) return [];
  const path = given.path.slice(0, at.length + 1);
  return [{ path, message: '`strategy: complexity` needs a `tier` at one target or more' }];
}

function noTiers(at: ConfigPath, { complexity }: Raw, tiered: readonly TargetMap[]): Finding[] {
  const paths = [
    ...tiered.map(({ path }) => [...path, 'tier']),
    ...(isBlank(complexity) ? [] : [[...at, 'complexity']]),
  ];
  return paths.map((path) => ({ path, message: 'has no effect without `strategy: complexity`' }));
}

/**
 * A route that is pinned to a region never leaves it: one where nobody is could serve nobody. A region that only providers
 * of other routes are in is no mistake of writing, and may be meant for a downgrade or a request's own fallbacks.
 */
function checkRegions(
  path: ConfigPath,
  regions: unknown,
  names: readonly string[],
  { providers }: Surroundings,
): Finding[] {
  if (!Array.isArray(regions)) return [];
  const regionOf = new Map(
    names.map((name) => {
      const provider = Object.hasOwn(providers, name) ? providers[name] : undefined;
      const region = isRecord(provider) ? provider['region'] : undefined;
      return [name, typeof region === 'string' && region !== '' ? region : undefined];
    }),
  );
  const known = [...new Set(regionOf.values())].filter((region) => region !== undefined);
  const elsewhere = Object.values(providers).map((provider) => (isRecord(provider) ? provider['region'] : undefined));
  const without = [...regionOf].filter(([, region]) => region === undefined).map(([name]) => `\`${name}\``);
  const facts = [
    ...(known.length > 0 ? [`known are ${known.join(', ')}`] : []),
    ...(without.length > 0 ? [`no region is given for ${without.join(', ')}`] : []),
  ];
  return regions.flatMap((region: unknown, index) => {
    if (typeof region !== 'string' || region === '' || known.includes(region) || elsewhere.includes(region)) return [];
    const nobody = `none of its providers is in the region \`${region}\``;
    const message = facts.length === 0 ? nobody : `${nobody}: ${facts.join('; ')}`;
    return [{ path: [...path, index], message, hint: suggest(region, known) }];
  });
}

function providerOf(target: unknown): string[] {
  const reference = isRecord(target) ? target['model'] : target;
  const slash = typeof reference === 'string' ? reference.indexOf('/') : -1;
  return typeof reference === 'string' && slash > 0 ? [reference.slice(0, slash)] : [];
}

/** The name in `on_limit: { downgrade }` or `on_limit: { then: { downgrade } }`. */
function downgradeOf(at: ConfigPath, { on_limit: onLimit }: Raw): { to: string; path: ConfigPath } | undefined {
  if (!isRecord(onLimit)) return undefined;
  const path = [...at, 'on_limit', ...(isBlank(onLimit['downgrade']) ? ['then'] : []), 'downgrade'];
  const to = isBlank(onLimit['downgrade']) && isRecord(onLimit['then']) ? onLimit['then'] : onLimit;
  const name = to['downgrade'];
  return typeof name === 'string' && name !== '' ? { to: name, path } : undefined;
}

function checkDowngrade(at: ConfigPath, of: Raw, { all }: Scope, around: Surroundings): Finding[] {
  const downgrade = downgradeOf(at, of);
  if (downgrade === undefined || all.has(downgrade.to)) return [];
  const { to, path } = downgrade;
  if (to.includes('/')) return checkTarget(to, path, around);
  return [{ path, message: `there is no route \`${to}\``, hint: suggest(to, all.keys()) }];
}

/** Routes that lead back to themselves; each circle is told once, at the first of this scope that is part of it. */
function checkCircles({ own, all }: Scope): Finding[] {
  const told = new Set<string>();
  return Object.keys(own).flatMap((start) => {
    const names = [start];
    let next = nextOf(start, all);
    const path = next?.path;
    while (next !== undefined && !names.includes(next.to)) {
      names.push(next.to);
      next = nextOf(next.to, all);
    }
    if (next?.to !== start || path === undefined || told.has(start)) return [];
    for (const name of names) told.add(name);
    const circle = [...names, start].join(' → ');
    const message = names.length === 1 ? 'must name another route than its own' : `goes in a circle: ${circle}`;
    return [{ path, message }];
  });
}

function nextOf(name: string, all: Scope['all']): ReturnType<typeof downgradeOf> {
  const found = all.get(name);
  const next = found && downgradeOf(found.at, found.route);
  return next !== undefined && all.has(next.to) ? next : undefined;
}
