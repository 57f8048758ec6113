export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'insufficient_quota'
  | 'server_error';

/**
 * What may be done about a failure:
 * - `never`: the same request fails again (SDKs are told `x-should-retry: false`);
 * - `later`: the same request may pass later (`x-should-retry: true`, `retry-after` when known);
 * - `elsewhere`: another deployment may serve it now; the gateway does so before the first token, and tells the client
 *   `later` once nobody is left to ask.
 */
export type Retry = 'never' | 'later' | 'elsewhere';

export interface ErrorPolicy {
  readonly status: number;
  readonly type: ErrorType;
  readonly retry: Retry;
}

/** One row per way a request can fail; the row is the whole policy of that failure (docs/errors.md, kept equal by a test). */
export const ERRORS = {
  invalid_json: { status: 400, type: 'invalid_request_error', retry: 'never' },
  invalid_request: { status: 400, type: 'invalid_request_error', retry: 'never' },
  invalid_api_key: { status: 401, type: 'authentication_error', retry: 'never' },
  model_not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  unknown_url: { status: 404, type: 'invalid_request_error', retry: 'never' },
  method_not_allowed: { status: 405, type: 'invalid_request_error', retry: 'never' },
  request_timeout: { status: 408, type: 'invalid_request_error', retry: 'later' },
  request_too_large: { status: 413, type: 'invalid_request_error', retry: 'never' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error', retry: 'never' },
  headers_too_large: { status: 431, type: 'invalid_request_error', retry: 'never' },
  upstream_rejected: { status: 400, type: 'invalid_request_error', retry: 'never' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error', retry: 'elsewhere' },
  content_filtered: { status: 400, type: 'invalid_request_error', retry: 'never' },
  budget_exceeded: { status: 429, type: 'insufficient_quota', retry: 'never' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retry: 'later' },
  price_unknown: { status: 400, type: 'invalid_request_error', retry: 'never' },
  scope_blocked: { status: 403, type: 'permission_error', retry: 'never' },
  key_expired: { status: 401, type: 'authentication_error', retry: 'never' },
  key_blocked: { status: 401, type: 'authentication_error', retry: 'never' },
  network_not_allowed: { status: 403, type: 'permission_error', retry: 'never' },
  model_not_allowed: { status: 403, type: 'permission_error', retry: 'never' },
  attribution_not_allowed: { status: 403, type: 'permission_error', retry: 'never' },
  forbidden: { status: 403, type: 'permission_error', retry: 'never' },
  not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  conflict: { status: 409, type: 'invalid_request_error', retry: 'never' },
  precondition_failed: { status: 412, type: 'invalid_request_error', retry: 'never' },
  no_capable_deployment: { status: 400, type: 'invalid_request_error', retry: 'never' },
  override_not_allowed: { status: 403, type: 'permission_error', retry: 'never' },
  admin_only: { status: 403, type: 'permission_error', retry: 'never' },
  router_not_found: { status: 404, type: 'invalid_request_error', retry: 'never' },
  route_at_capacity: { status: 429, type: 'rate_limit_error', retry: 'later' },
  upstream_quota_exhausted: { status: 429, type: 'insufficient_quota', retry: 'elsewhere' },
  upstream_throttled: { status: 429, type: 'rate_limit_error', retry: 'elsewhere' },
  upstream_unauthorized: { status: 502, type: 'server_error', retry: 'elsewhere' },
  upstream_failed: { status: 502, type: 'server_error', retry: 'elsewhere' },
  upstream_malformed: { status: 502, type: 'server_error', retry: 'elsewhere' },
  upstream_unreachable: { status: 503, type: 'server_error', retry: 'elsewhere' },
  upstream_timeout: { status: 504, type: 'server_error', retry: 'elsewhere' },
  upstream_cut_off: { status: 502, type: 'server_error', retry: 'elsewhere' },
  worker_lost: { status: 502, type: 'server_error', retry: 'elsewhere' },
  worker_busy: { status: 503, type: 'server_error', retry: 'elsewhere' },
  deployment_throttled: { status: 429, type: 'rate_limit_error', retry: 'elsewhere' },
  deployment_disabled: { status: 503, type: 'server_error', retry: 'elsewhere' },
  stream_gap: { status: 502, type: 'server_error', retry: 'later' },
  client_too_slow: { status: 408, type: 'invalid_request_error', retry: 'never' },
  hedge_lost: { status: 499, type: 'invalid_request_error', retry: 'never' },
  client_closed_request: { status: 499, type: 'invalid_request_error', retry: 'never' },
  no_deployment: { status: 503, type: 'server_error', retry: 'later' },
  queue_full: { status: 503, type: 'server_error', retry: 'later' },
  overloaded: { status: 503, type: 'server_error', retry: 'later' },
  shutting_down: { status: 503, type: 'server_error', retry: 'later' },
  broker_unavailable: { status: 503, type: 'server_error', retry: 'later' },
  router_unavailable: { status: 503, type: 'server_error', retry: 'later' },
  issuer_unavailable: { status: 503, type: 'server_error', retry: 'later' },
  ledger_unavailable: { status: 503, type: 'server_error', retry: 'later' },
  deadline_exceeded: { status: 504, type: 'server_error', retry: 'never' },
  internal: { status: 500, type: 'server_error', retry: 'never' },
} as const satisfies Record<string, ErrorPolicy>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export interface ErrorDetails {
  /** The request field at fault, as OpenAI's `param`. */
  readonly param?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** What the provider answered, where its own words should reach the client. */
  readonly upstream?: UpstreamError | undefined;
  /** What the answer says besides, in headers; it does not cross NATS. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

/** A provider's own verdict, passed on as it was said: status of its answer, and its error object's `code` and `type`. */
export type UpstreamError = {
  readonly status: number;
  readonly code?: string | undefined;
  readonly type?: string | undefined;
};

/** A failure as it crosses NATS: a class does not. (A type, not an interface: messages let unknown fields pass.) */
export type WireError = {
  readonly code: string;
  readonly message: string;
  readonly param?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly upstream?: UpstreamError | undefined;
};

/** A failure with a code; the table `ERRORS` is its policy. `message` reaches the client: no secrets, no prompt text. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly upstream: UpstreamError | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.retryAfterMs = details.retryAfterMs;
    this.upstream = details.upstream;
    this.headers = details.headers;
  }

  get policy(): ErrorPolicy {
    return ERRORS[this.code];
  }

  toWire(): WireError {
    const { code, message, param, retryAfterMs, upstream } = this;
    return { code, message, param, retryAfterMs, upstream };
  }

  /** A code this version does not know becomes `internal`, so that a newer peer cannot crash an older one. */
  static fromWire(wire: WireError): GatewayError {
    return new GatewayError(isErrorCode(wire.code) ? wire.code : 'internal', wire.message, wire);
  }

  /** Unknown throws become `internal`; their text stays in `cause`, for the log, never for the client. */
  static from(thrown: unknown): GatewayError {
    if (thrown instanceof GatewayError) return thrown;
    return new GatewayError('internal', 'The gateway met an unexpected error.', { cause: thrown });
  }
}
