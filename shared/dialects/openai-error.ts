import type { GatewayError } from '../errors.ts';

/** An error as an HTTP answer in OpenAI's dialect. */
export interface OpenAiErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: `{"error":{message,type,param,code}}`, all four always there. */
  readonly body: string;
}

/**
 * A failure in OpenAI's words. What the provider said of the caller's own mistake, or of its rate limit, is passed on:
 * its status, `type` and `code`. SDKs retry by status alone, so `x-should-retry` tells them what is worth it.
 */
export function toOpenAiError(error: GatewayError): OpenAiErrorAnswer {
  const { policy, upstream, retryAfterMs } = error;
  const isProvidersVerdict = error.code === 'upstream_rejected' || error.code === 'upstream_throttled';
  const said = isProvidersVerdict ? upstream : undefined;
  const headers: Record<string, string> = { 'x-should-retry': policy.retry === 'never' ? 'false' : 'true' };
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
