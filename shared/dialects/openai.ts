import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { DuplicateKey, locateOne } from '../json-locate.ts';
import type { Endpoint } from '../messages/envelope.ts';
import type { ByteRange } from '../messages/task.ts';

/** What the gateway must understand of a request; everything else is the provider's to judge, and passes as it came. */
const model = z.string().min(1).max(512);

const ChatRequest = z.object({
  model,
  messages: z.array(z.looseObject({ role: z.string() })).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

const EmbeddingsRequest = z.object({
  model,
  input: z.union([z.string().min(1), z.array(z.union([z.string(), z.number(), z.array(z.number())])).min(1)]),
});

/** A request's body, read once: its bytes, and what was understood of them. */
export interface ParsedRequest {
  readonly endpoint: Endpoint;
  readonly body: Buffer;
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage chunk of its stream. */
  readonly includeUsage: boolean;
  readonly modelAt: ByteRange;
  readonly streamOptionsAt: ByteRange | null;
}

/**
 * Reads a body.
 * @throws GatewayError(`invalid_json`, `invalid_request`) that names the field at fault
 */
export function parseOpenAiRequest(endpoint: Endpoint, body: Buffer): ParsedRequest {
  const value = parseObject(body);
  if (endpoint === 'chat') {
    const request = check(ChatRequest, value);
    return {
      endpoint,
      body,
      model: request.model,
      stream: request.stream === true,
      includeUsage: request.stream_options?.include_usage === true,
      modelAt: locate(body, 'model', true) as ByteRange,
      streamOptionsAt: locate(body, 'stream_options', request.stream_options !== undefined) ?? null,
    };
  }
  const request = check(EmbeddingsRequest, value);
  const modelAt = locate(body, 'model', true) as ByteRange;
  return { endpoint, body, model: request.model, stream: false, includeUsage: false, modelAt, streamOptionsAt: null };
}

function parseObject(body: Buffer): object {
  if (body.length === 0) throw new GatewayError('invalid_json', 'The request has no body; a JSON object is expected.');
  if (!isUtf8(body)) throw new GatewayError('invalid_json', 'The request’s body is not valid UTF-8.');
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new GatewayError('invalid_json', `The request’s body is not valid JSON${positionOf(cause)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GatewayError('invalid_request', `The request’s body must be a JSON object, not ${Array.isArray(value) ? 'an array' : JSON.stringify(typeof value)}.`);
  }
  return value;
}

function check<S extends z.ZodType>(schema: S, value: object): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const param = issue === undefined || issue.path.length === 0 ? undefined : issue.path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${String(part)}`)).join('');
  const isMissing = issue?.code === 'invalid_type' && param !== undefined && !(param in value) && issue.path.length === 1;
  const message = isMissing ? `Missing required parameter: '${param}'.` : `Invalid value for '${param ?? 'body'}': ${issue?.message ?? 'not accepted'}.`;
  throw new GatewayError('invalid_request', message, { param });
}

function locate(body: Buffer, key: string, isPresent: boolean): ByteRange | undefined {
  try {
    return locateOne(body, key, isPresent);
  } catch (failure) {
    if (failure instanceof DuplicateKey) throw new GatewayError('invalid_request', `The request names '${key}' twice.`, { param: key });
    throw failure;
  }
}

/** Where a JSON text breaks. V8's own message quotes the text, which may be a prompt: only the position is told. */
function positionOf(cause: unknown): string {
  const position = cause instanceof Error ? /position (\d+)(?: \(line (\d+) column (\d+)\))?/.exec(cause.message) : null;
  if (position === null) return '';
  return position[2] === undefined ? ` at byte ${position[1]}` : ` at line ${position[2]}, column ${position[3]}`;
}
