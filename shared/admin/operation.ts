import { z } from 'zod';
import type { Role } from '../messages/key.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What can be asked of the admin API: the one place that says how, by whom, and with what in return. */
export interface Operation {
  readonly method: Method;
  /** Below `/admin/v1`, with `{name}` for each of `params`. */
  readonly path: string;
  readonly summary: string;
  /** The heading that it stands under in the documents. */
  readonly tag: string;
  /** Who may; a `team_admin` only as far as its team goes, which the ledger looks after. */
  readonly roles: readonly Role[];
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | null;
  readonly response: z.ZodType;
  readonly status: 200 | 201;
  /** Answers a list, page by page. */
  readonly isList: boolean;
  /** Leaves an audit record; all of it happens, or none. */
  readonly isChange: boolean;
  /** Of the answer, if it is not JSON: by the query's `format`. */
  readonly contentTypes?: Readonly<Record<string, string>>;
  /** Fields of the answer that are shown once: what is kept for an `Idempotency-Key` is without them. */
  readonly secrets?: readonly string[];
}

interface Given<P extends z.ZodRawShape, Q extends z.ZodRawShape, B extends z.ZodType | null, R extends z.ZodType> {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  readonly roles: readonly Role[];
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly response: R;
  readonly status?: 200 | 201;
  readonly contentTypes?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
}

/** As `Operation`, with its types kept for the handler. */
export interface Typed<
  P extends z.ZodRawShape,
  Q extends z.ZodRawShape,
  B extends z.ZodType | null,
  R extends z.ZodType,
  IsChange extends boolean,
> extends Operation {
  readonly params: z.ZodObject<P, z.core.$strict>;
  readonly query: z.ZodObject<Q, z.core.$strict>;
  readonly body: B;
  readonly response: R;
  readonly isChange: IsChange;
}

type Empty = Record<never, never>;

function typed<
  P extends z.ZodRawShape,
  Q extends z.ZodRawShape,
  B extends z.ZodType | null,
  R extends z.ZodType,
  IsChange extends boolean,
>(given: Given<P, Q, B, R>, isList: boolean, isChange: IsChange): Typed<P, Q, B, R, IsChange> {
  const { params, query, body, status = 200, ...rest } = given;
  return {
    ...rest,
    params: z.strictObject(params ?? ({} as P)),
    query: z.strictObject(query ?? ({} as Q)),
    body: (body ?? null) as B,
    ...{ status, isList, isChange },
  };
}

type GivenReading<P extends z.ZodRawShape, Q extends z.ZodRawShape, R extends z.ZodType> = Omit<
  Given<P, Q, null, R>,
  'method' | 'path' | 'body' | 'status' | 'secrets'
>;

/** One thing, or a report. */
export function reading<R extends z.ZodType, P extends z.ZodRawShape = Empty, Q extends z.ZodRawShape = Empty>(
  path: string,
  given: GivenReading<P, Q, R>,
): Typed<P, Q, null, R, false> {
  return typed({ ...given, path, method: 'GET' }, false, false);
}

/** Things, a page at a time. */
export function listing<R extends z.ZodType, P extends z.ZodRawShape = Empty, Q extends z.ZodRawShape = Empty>(
  path: string,
  given: GivenReading<P, Q, R>,
): Typed<P, Q & typeof PAGE, null, ListSchema<R>, false> {
  const { response, query, ...rest } = given;
  const paged = { ...query, ...PAGE } as Q & typeof PAGE;
  return typed({ ...rest, path, query: paged, response: listOf(response), method: 'GET' }, true, false);
}

export function changing<
  R extends z.ZodType,
  P extends z.ZodRawShape = Empty,
  Q extends z.ZodRawShape = Empty,
  B extends z.ZodType | null = null,
>(
  method: Exclude<Method, 'GET'>,
  path: string,
  given: Omit<Given<P, Q, B, R>, 'method' | 'path'>,
): Typed<P, Q, B, R, true> {
  return typed({ ...given, method, path }, false, true);
}

const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;

/** Of every list. */
const PAGE = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MAX_PAGE)
    .default(DEFAULT_PAGE)
    .describe(`How many at most; a page of large things has fewer.`),
  after: z.string().max(1_024).optional().describe('`next_cursor` of the page before.'),
};

export type ListSchema<R extends z.ZodType> = z.ZodObject<{
  object: z.ZodLiteral<'list'>;
  data: z.ZodArray<R>;
  has_more: z.ZodBoolean;
  next_cursor: z.ZodOptional<z.ZodString>;
}>;

/** As OpenAI's lists, with a cursor that means nothing to anybody else. */
function listOf<R extends z.ZodType>(item: R): ListSchema<R> {
  return z.object({
    object: z.literal('list'),
    data: z.array(item),
    has_more: z.boolean(),
    next_cursor: z.string().optional(),
  });
}
