import type { OperationId } from './operations.ts';
import { OPERATION_IDS, operationOf } from './operations.ts';

export type Match =
  | { readonly kind: 'found'; readonly id: OperationId; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'method_not_allowed'; readonly allowed: readonly string[] }
  | { readonly kind: 'unknown' };

/**
 * Which operation a request means. A literal part of a path goes before a parameter: `/usage/export` is no usage called
 * `export`.
 * @param path below `/admin/v1`; its parts are percent-decoded here, so that an id may hold a slash
 */
export function matchOperation(method: string, path: string): Match {
  const given = partsOf(path);
  const found = OPERATION_IDS.flatMap((id) => {
    const params = paramsOf(operationOf(id).path, given);
    return params === undefined ? [] : [{ id, params }];
  });
  if (found.length === 0) return { kind: 'unknown' };
  const fewest = Math.min(...found.map(({ params }) => Object.keys(params).length));
  const nearest = found.filter(({ params }) => Object.keys(params).length === fewest);
  const meant = nearest.find(({ id }) => operationOf(id).method === method);
  if (meant === undefined)
    return { kind: 'method_not_allowed', allowed: nearest.map(({ id }) => operationOf(id).method) };
  return { kind: 'found', ...meant };
}

function partsOf(path: string): string[] {
  return path.replace(/^\/|\/$/g, '').split('/');
}

function paramsOf(pattern: string, given: readonly string[]): Record<string, string> | undefined {
  const expected = partsOf(pattern);
  if (expected.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of expected.entries()) {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    const value = decoded(given[index] ?? '');
    if (value === undefined || (name === undefined ? value !== part : value === '')) return undefined;
    if (name !== undefined) params[name] = value;
  }
  return params;
}

/** undefined: a stray percent sign. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
