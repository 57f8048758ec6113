import { suggest } from './errors.ts';
import { isRecord } from './fields.ts';
import { entriesOf } from './raw-file.ts';
import type { Finding } from './raw-file.ts';

const ROUTE = 'route:';

/** A limit of a route that nobody has written would hold for nobody. Teams, users and the like need not be known here. */
export function checkLimits(file: Record<string, unknown>): Finding[] {
  const limits = isRecord(file['limits']) ? file['limits'] : {};
  const known = new Set([...routeNames(file), ...routerNames(file)]);
  return Object.keys(limits).flatMap((scope) => {
    const route = scope.startsWith(ROUTE) && scope !== `${ROUTE}*` ? scope.slice(ROUTE.length) : undefined;
    if (route === undefined || route === '' || known.has(route)) return [];
    const path = ['limits', scope];
    return [{ path, message: `there is no route \`${route}\``, hint: suggest(route, known) }];
  });
}

function routerNames(file: Record<string, unknown>): string[] {
  const routers = isRecord(file['routers']) ? file['routers'] : {};
  return entriesOf(routers).flatMap(([, router]) => routeNames(router));
}

function routeNames({ routes }: Record<string, unknown>): string[] {
  return isRecord(routes) ? Object.keys(routes) : [];
}
