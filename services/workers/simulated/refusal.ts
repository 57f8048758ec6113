import type { z } from 'zod';

/** OpenAI's error object as an exception; what the caller got wrong. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;

  constructor(status: number, message: string, { param, code }: { param?: string; code?: string } = {}) {
    super(message);
    this.status = status;
    this.param = param ?? null;
    this.code = code ?? null;
  }

  toJson(): string {
    const { message, param, code } = this;
    const type = this.status >= 500 ? 'server_error' : 'invalid_request_error';
    return JSON.stringify({ error: { message, type, param, code } });
  }
}

export function modelNotFound(model: string): Refusal {
  const message = `The model \`${model.slice(0, 200)}\` does not exist or you do not have access to it.`;
  return new Refusal(404, message, { code: 'model_not_found' });
}

/**
 * Reads a body by its schema.
 * @throws Refusal in OpenAI's words, with the field at fault as `param`
 */
export function parseBody<S extends z.ZodType>(schema: S, body: unknown): z.infer<S> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Refusal(400, 'The body of the request must be a JSON object.');
  }
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const param = pathOf(issue.path);
  const { code, message } = inOpenAiWords(issue, param, valueAt(body, issue.path));
  throw new Refusal(400, message, { param, code });
}

function inOpenAiWords(issue: z.core.$ZodIssue, param: string, value: unknown): { code: string; message: string } {
  if (issue.code === 'custom') return { code: codeOfCustom(issue), message: issue.message };
  if (value === undefined) {
    return { code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.` };
  }
  const isNumber = typeof value === 'number';
  const unit = isNumber ? (Number.isInteger(value) ? 'integer' : 'decimal') : Array.isArray(value) ? 'array' : 'string';
  if (issue.code === 'too_big') {
    const code = isNumber ? `${unit}_above_max_value` : `${unit}_above_max_length`;
    return { code, message: `Invalid '${param}': expected at most ${issue.maximum}${isNumber ? '' : ' items'}.` };
  }
  if (issue.code === 'too_small') {
    const code = isNumber ? `${unit}_below_min_value` : `empty_${unit}`;
    return { code, message: `Invalid '${param}': expected at least ${issue.minimum}${isNumber ? '' : ' item'}.` };
  }
  if (issue.code === 'invalid_value') {
    const allowed = issue.values.map((each) => `'${String(each)}'`).join(', ');
    return { code: 'invalid_value', message: `Invalid value for '${param}'. Supported values are: ${allowed}.` };
  }
  const expected = issue.code === 'invalid_type' ? issue.expected : 'another type';
  const message = `Invalid type for '${param}': expected ${expected}, but got ${typeName(value)} instead.`;
  return { code: 'invalid_type', message };
}

function codeOfCustom(issue: z.core.$ZodIssueCustom): string {
  const code: unknown = issue.params?.['code'];
  return typeof code === 'string' ? code : 'invalid_value';
}

/** `messages[0].content`, as OpenAI writes it. */
function pathOf(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    text += typeof key === 'number' ? `[${key}]` : `${text === '' ? '' : '.'}${String(key)}`;
  }
  return text;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
