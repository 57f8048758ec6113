import type { z } from 'zod';
import type { Operation } from '../../../shared/admin/operation.ts';
import { formatPath } from '../../../shared/config/errors.ts';
import { GatewayError } from '../../../shared/errors.ts';
import type { FieldError } from './invalid-fields.ts';
import { InvalidFields } from './invalid-fields.ts';

/** What a request says, as it came: texts in path and query, JSON in the body (undefined: none). */
export interface RawInput {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** The same, checked: of the types that the operation's schemas have. */
export interface Input {
  readonly params: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** Enough for anybody to see what is wrong. */
const MAX_ERRORS = 32;

/** @throws InvalidFields every fault of path, query and body */
export function readInput(operation: Operation, { params, query, body }: RawInput): Input {
  const readParams = operation.params.safeParse(params);
  const readQuery = operation.query.safeParse(query);
  const readBody = operation.body === null ? readNothing(body) : operation.body.safeParse(body ?? {});
  const errors = [readParams, readQuery, readBody].flatMap((read) =>
    read.success ? [] : read.error.issues.flatMap((issue) => errorsOf(issue, [])),
  );
  const [first, ...others] = errors;
  if (first !== undefined) throw new InvalidFields([first, ...others.slice(0, MAX_ERRORS - 1)]);
  return { params: readParams.data ?? {}, query: readQuery.data ?? {}, body: readBody.data };
}

/** @throws GatewayError(`invalid_json`) */
export function parseBody(text: string | undefined): unknown {
  if (text === undefined || text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new GatewayError('invalid_json', 'The request’s body is not JSON.', { cause });
  }
}

/** @throws InvalidFields for a name that comes twice: one of them would be lost */
export function parseQuery(text: string): Record<string, string> {
  const query: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of new URLSearchParams(text)) {
    if (Object.hasOwn(query, name)) throw new InvalidFields([{ param: name, message: 'It was given twice.' }]);
    query[name] = value;
  }
  return { ...query };
}

type Read = { success: true; data: unknown; error?: never } | { success: false; data?: never; error: z.ZodError };

/** An operation that takes no body takes an empty one. */
function readNothing(body: unknown): Read {
  const isEmpty = body === undefined || (typeof body === 'object' && body !== null && Object.keys(body).length === 0);
  if (isEmpty) return { success: true, data: undefined };
  throw new InvalidFields([{ param: 'body', message: 'This takes no body.' }]);
}

type Issue = z.core.$ZodIssue;

/** One issue as faults of fields. Of alternatives, that one's which the value is nearest to. */
function errorsOf(issue: Issue, above: readonly PropertyKey[]): FieldError[] {
  const path = [...above, ...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ param: said([...path, key]), message: 'There is no such field.' }));
  if (issue.code === 'invalid_union') {
    const [nearest] = issue.errors.toSorted((one, other) => depthOf(other) - depthOf(one));
    if (nearest !== undefined && depthOf(nearest) > 0) return nearest.flatMap((each) => errorsOf(each, path));
  }
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  return [{ param: said(path), message: isMissing ? 'It is missing.' : sentence(issue.message) }];
}

function depthOf(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map(({ path }) => path.length));
}

function said(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'body' : formatPath(path.map((part) => (typeof part === 'number' ? part : String(part))));
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
