import type { ErrorCode } from '../../../shared/errors.ts';
import { GatewayError } from '../../../shared/errors.ts';
import { retryAfterMs } from '../../../shared/retry-after.ts';

const MAX_MESSAGE_CHARS = 2_000;

/** As vLLM, SGLang, llama.cpp, Mistral, xAI and OpenRouter say it, who have no code for it. */
const TOO_LONG =
  /maximum (context|prompt|model) length|model['’]s context (length|window)|exceeds? the (available |maximum )?context/i;
/** Azure's, and OpenAI's. */
const CONTENT_CODES: ReadonlySet<string | undefined> = new Set(['content_filter', 'content_policy_violation']);

type Headers = Readonly<Record<string, string | string[] | undefined>>;

interface OpenAiError {
  readonly message: string | undefined;
  readonly type: string | undefined;
  readonly param: string | undefined;
  readonly code: string | undefined;
}

/**
 * An error answer of an OpenAI-compatible server → what it means here. The caller's own mistakes keep their status,
 * words, `code` and `param`; a refusal of our credential is the gateway's trouble, and its text (which may quote the
 * credential) stays out of sight.
 */
export function readOpenAiError(status: number, headers: Headers, body: Buffer, nowEpochMs: number): GatewayError {
  const said = parseErrorBody(body);
  const code = codeOf(status, said);
  const upstream = { status, code: said.code, type: said.type };
  if (code === 'upstream_unauthorized') return unauthorized(status);
  const message = said.message ?? `The provider answered with status ${status}.`;
  return new GatewayError(code, message, {
    param: said.param,
    upstream,
    retryAfterMs: retryAfterMs(headers, nowEpochMs),
  });
}

/** An `error` object inside of a stream: there is no status, so its type and code must tell. */
export function readOpenAiStreamError(error: unknown): GatewayError {
  const said = fieldsOf(error);
  const status = statusOfStreamError(said);
  const code = codeOf(status, said);
  if (code === 'upstream_unauthorized') return unauthorized(status);
  return new GatewayError(code, said.message ?? 'The provider reported an error in the stream.', {
    param: said.param,
    upstream: { status, code: said.code, type: said.type },
  });
}

/** Credentials and rates before the type: `invalid_api_key` is an `invalid_request_error` by OpenAI's lights. */
function statusOfStreamError({ code, type }: OpenAiError): number {
  if (code === 'invalid_api_key' || code === '401' || type === 'authentication_error') return 401;
  if (code === '403' || type === 'permission_error') return 403;
  if (code === 'rate_limit_exceeded' || code === '429' || type === 'rate_limit_error') return 429;
  return type === 'invalid_request_error' ? 400 : 500;
}

/** The provider's own text may quote the credential: none of it is kept. */
function unauthorized(status: number): GatewayError {
  return new GatewayError('upstream_unauthorized', 'The provider refused the gateway’s credential.', {
    upstream: { status },
  });
}

/** Some of the caller's own mistakes are none elsewhere: a longer context may hold the request, another filter let it pass. */
function codeOf(status: number, said: OpenAiError): ErrorCode {
  const code = codeOfStatus(status);
  if (code === 'upstream_throttled' && said.code === 'insufficient_quota') return 'upstream_quota_exhausted';
  if (code !== 'upstream_rejected') return code;
  if (said.code === 'context_length_exceeded' || TOO_LONG.test(said.message ?? '')) return 'context_length_exceeded';
  return CONTENT_CODES.has(said.code) ? 'content_filtered' : code;
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'upstream_unauthorized';
  if (status === 429) return 'upstream_throttled';
  // A time-out, a conflict or "too early" says nothing about the request itself.
  if (status === 408 || status === 409 || status === 425) return 'upstream_failed';
  if (status >= 400 && status < 500) return 'upstream_rejected';
  return 'upstream_failed';
}

function parseErrorBody(body: Buffer): OpenAiError {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return fieldsOf(isRecord(parsed) ? (parsed['error'] ?? parsed) : parsed);
  } catch {
    // A proxy's HTML page or nothing at all: the status is all there is.
    return fieldsOf(undefined);
  }
}

function fieldsOf(error: unknown): OpenAiError {
  if (typeof error === 'string')
    return { message: error.slice(0, MAX_MESSAGE_CHARS), type: undefined, param: undefined, code: undefined };
  const fields = isRecord(error) ? error : {};
  return {
    message: text(fields['message']),
    type: text(fields['type']),
    param: text(fields['param']),
    code: text(fields['code']),
  };
}

/** Codes are numbers in some dialects' hands. */
function text(value: unknown): string | undefined {
  if (typeof value === 'string' && value !== '') return value.slice(0, MAX_MESSAGE_CHARS);
  return typeof value === 'number' ? String(value) : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
