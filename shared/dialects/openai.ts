import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { findJsonFault } from '../json-fault.ts';
import { locateMember } from '../json-locate.ts';
import type { Endpoint } from '../messages/envelope.ts';
import type { ByteRange } from '../messages/task.ts';
import { locateUnique } from './locate-unique.ts';
import type { Demand, Prompt } from './openai-needs.ts';
import { readChatDemand, readEmbeddingsDemand } from './openai-needs.ts';

/** What the gateway must understand of a request; everything else is the provider's to judge, and passes as it came. */
const model = z
  .string()
  .min(1)
  .max(512)
  // A name goes into headers and into the ledger's text: neither holds control characters or halves of characters.
  .refine((name) => name.isWellFormed() && !/\p{Cc}/u.test(name), 'must not contain control characters');

const ChatRequest = z.object({
  model,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

const EmbeddingsRequest = z.object({ model });

type Fields = Readonly<Record<string, unknown>>;

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** The worker writes a stream's options anew; there is no need of large ones, and deep ones would cost its stack. */
const MAX_STREAM_OPTIONS_BYTES = 4 * 1024;

/** A request's body, read once: its bytes, and what was understood of them. */
export interface ParsedRequest extends Demand {
  readonly endpoint: Endpoint;
  readonly body: Buffer;
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage chunk of its stream. */
  readonly includeUsage: boolean;
  readonly modelAt: ByteRange;
  readonly streamOptionsAt: ByteRange | null;
  /** Whose requests belong together: `prompt_cache_key`, `safety_identifier` or `user`, the first that is there. */
  readonly kin: string | undefined;
  /** Whom it is for: `safety_identifier`, else `user`. */
  readonly endUser: string | undefined;
  /** Unread. */
  readonly metadata: unknown;
  /** The member `sluice`: what the request says of its own routing, unread. undefined: it is not there. */
  readonly sluice: unknown;
  /** Where that member stands, its comma with it: for no provider to see. */
  readonly dropAt: ByteRange[] | undefined;
  /** undefined for embeddings. */
  readonly prompt: Prompt | undefined;
}

/**
 * Reads a body.
 * @throws GatewayError(`invalid_json`, `invalid_request`) that names the field at fault
 */
export function parseOpenAiRequest(endpoint: Endpoint, body: Buffer): ParsedRequest {
  const value = parseObject(body);
  return endpoint === 'chat' ? parseChat(value, body) : parseEmbeddings(value, body);
}

function parseChat(value: Fields, body: Buffer): ParsedRequest {
  const request = check(ChatRequest, value);
  checkMessages(value['messages']);
  return {
    endpoint: 'chat',
    body,
    model: request.model,
    stream: request.stream === true,
    includeUsage: request.stream_options?.include_usage === true,
    modelAt: locateUnique(body, 'model', true) as ByteRange,
    streamOptionsAt: locateStreamOptions(body, request.stream_options !== undefined),
    kin: kinOf(value),
    endUser: endUserOf(value),
    metadata: value['metadata'],
    sluice: value['sluice'],
    dropAt: locateSluice(value, body),
    ...readChatDemand(value, body),
  };
}

function parseEmbeddings(value: Fields, body: Buffer): ParsedRequest {
  const request = check(EmbeddingsRequest, value);
  checkInput(value['input']);
  return {
    endpoint: 'embeddings',
    body,
    model: request.model,
    stream: false,
    includeUsage: false,
    modelAt: locateUnique(body, 'model', true) as ByteRange,
    streamOptionsAt: null,
    kin: kinOf(value),
    endUser: endUserOf(value),
    metadata: value['metadata'],
    sluice: value['sluice'],
    dropAt: locateSluice(value, body),
    ...readEmbeddingsDemand(value['input'], body),
    prompt: undefined,
  };
}

/** OpenAI's own names, the one that is meant for this first. Whether they are right otherwise is the provider's to judge. */
function kinOf({ prompt_cache_key, safety_identifier, user }: Fields): string | undefined {
  return [prompt_cache_key, safety_identifier, user].find((name) => typeof name === 'string' && name !== '') as
    string | undefined;
}

/** The name that is meant for this before the one that it replaces. */
function endUserOf({ safety_identifier, user }: Fields): string | undefined {
  return [safety_identifier, user].find((name) => typeof name === 'string' && name !== '') as string | undefined;
}

function parseObject(body: Buffer): Fields {
  if (body.length === 0) throw new GatewayError('invalid_json', 'The request has no body; a JSON object is expected.');
  if (body.subarray(0, 3).equals(BYTE_ORDER_MARK))
    throw new GatewayError('invalid_json', 'The request’s body begins with a byte order mark; send JSON without it.');
  if (!isUtf8(body)) throw new GatewayError('invalid_json', 'The request’s body is not valid UTF-8.');
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    const fault = findJsonFault(body);
    const where = fault === undefined ? '' : ` at line ${fault.line}, column ${fault.column}`;
    throw new GatewayError('invalid_json', `The request’s body is not valid JSON${where}.`);
  }
  if (!isObject(value))
    throw new GatewayError('invalid_request', `The request’s body must be a JSON object, not ${kindOf(value)}.`);
  return value;
}

function check<S extends z.ZodType>(schema: S, value: Fields): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const param =
    issue === undefined || issue.path.length === 0
      ? undefined
      : issue.path
          .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${String(part)}`))
          .join('');
  const isMissing =
    issue?.code === 'invalid_type' && param !== undefined && !(param in value) && issue.path.length === 1;
  const message = isMissing
    ? `Missing required parameter: '${param}'.`
    : `Invalid value for '${param ?? 'body'}': ${issue?.message ?? 'not accepted'}.`;
  throw new GatewayError('invalid_request', message, { param });
}

function locateStreamOptions(body: Buffer, isPresent: boolean): ByteRange | null {
  const range = locateUnique(body, 'stream_options', isPresent) ?? null;
  if (range !== null && range[1] - range[0] > MAX_STREAM_OPTIONS_BYTES) {
    throw invalid('stream_options', `no more than ${MAX_STREAM_OPTIONS_BYTES} bytes are taken`);
  }
  return range;
}

function locateSluice(value: Fields, body: Buffer): ByteRange[] | undefined {
  if (value['sluice'] === undefined) return undefined;
  const at = locateUnique(body, 'sluice', true, locateMember);
  return at === undefined ? undefined : [at];
}

// Lists are as long as the body allows. A schema would look at every item and note every fault (a million bad messages
// held the event loop for seconds): these stop at the first.

function checkMessages(messages: unknown): void {
  const list = checkList(messages, 'messages');
  for (const [i, message] of list.entries()) {
    if (!isObject(message)) throw wrongType(`messages[${i}]`, 'an object', message);
    if (typeof message['role'] !== 'string') throw wrongType(`messages[${i}].role`, 'a string', message['role']);
  }
}

/** One text, several, one text as tokens, or several. */
function checkInput(input: unknown): void {
  if (typeof input === 'string' && input !== '') return;
  const list = checkList(input, 'input');
  for (const [i, item] of list.entries()) {
    if (typeof item === 'string' || typeof item === 'number') continue;
    if (!Array.isArray(item)) throw wrongType(`input[${i}]`, 'a string or an array of tokens', item);
    const at = (item as unknown[]).findIndex((token) => typeof token !== 'number');
    if (at >= 0) throw wrongType(`input[${i}][${at}]`, 'a token', item[at]);
  }
}

function checkList(value: unknown, param: string): readonly unknown[] {
  if (value === undefined)
    throw new GatewayError('invalid_request', `Missing required parameter: '${param}'.`, { param });
  if (!Array.isArray(value)) throw wrongType(param, 'an array', value);
  if (value.length === 0) throw invalid(param, 'it must not be empty');
  return value;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrongType(param: string, expected: string, value: unknown): GatewayError {
  return value === undefined
    ? new GatewayError('invalid_request', `Missing required parameter: '${param}'.`, { param })
    : invalid(param, `expected ${expected}, not ${kindOf(value)}`);
}

function invalid(param: string, why: string): GatewayError {
  return new GatewayError('invalid_request', `Invalid value for '${param}': ${why}.`, { param });
}

/** What a JSON value is, never what it says. */
function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (value === '') return 'an empty string';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
