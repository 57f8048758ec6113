import type { ErrorCode, GatewayError, UpstreamError } from '../errors.ts';

/** An error as an HTTP answer in OpenAI's dialect. */
export interface OpenAiErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: `{"error":{message,type,param,code}}`, all four always there. */
  readonly body: string;
}

const PROVIDERS_VERDICTS: ReadonlySet<ErrorCode> = new Set([
  'upstream_rejected',
  'upstream_quota_exhausted',
  'upstream_throttled',
  'context_length_exceeded',
  'content_filtered',
]);

/** What the provider said of the caller's own mistake, or of its rate limit: passed on as it was said. */
export function providersVerdict({ code, upstream }: GatewayError): UpstreamError | undefined {
  return PROVIDERS_VERDICTS.has(code) ? upstream : undefined;
}

/**
 * A failure in OpenAI's words, or the provider's: its status, `type` and `code`. SDKs retry by status alone, so
 * `x-should-retry` tells them what is worth it.
 */
export function toOpenAiError(error: GatewayError): OpenAiErrorAnswer {
  const { policy, retryAfterMs } = error;
  const said = providersVerdict(error);
  // Of a mistake of the caller's that another deployment might have taken, all have been asked.
  const isFinal = policy.retry === 'never' || (policy.retry === 'elsewhere' && policy.type === 'invalid_request_error');
  const headers: Record<string, string> = { ...error.headers, 'x-should-retry': isFinal ? 'false' : 'true' };
  if (retryAfterMs !== undefined) {
    headers['retry-after'] = String(Math.ceil(retryAfterMs / 1_000));
    headers['retry-after-ms'] = String(Math.ceil(retryAfterMs));
  }
  return {
    status: said?.status ?? policy.status,
    headers,
    body: JSON.stringify({
      error: {
        message: error.message,
        type: said?.type ?? policy.type,
        param: error.param ?? null,
        code: said?.code ?? error.code,
      },
    }),
  };
}

/** The same inside of a stream whose status line is gone. No `[DONE]` follows: the stream did not come to its end. */
export function toOpenAiErrorEvent(error: GatewayError): string {
  return `data: ${toOpenAiError(error).body}\n\n`;
}
