import type { Clock } from '../../shared/clock.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import type { ParsedRequest } from '../../shared/dialects/openai.ts';
import { GatewayError } from '../../shared/errors.ts';
import { makeRequestId } from '../../shared/ids.ts';
import type { Principal } from '../../shared/messages/envelope.ts';
import type { AdmittedRequest } from './request.ts';

const MAX_TIMEOUT_MS = 24 * 60 * 60 * 1_000;

/** What a request says of itself besides its body. */
export interface RequestContext {
  readonly principal: Principal;
  readonly traceparent: string | undefined;
  /** The header `x-sluice-timeout`: a duration such as `30s`, or milliseconds. */
  readonly timeout: string | undefined;
  /** The header `x-sluice-session`: which conversation it belongs to. */
  readonly session: string | undefined;
}

/**
 * Yes, or a GatewayError. Every request passes here once, after it was authenticated and parsed and before anything is
 * asked of a router: the place for limits and budgets.
 */
export function admit(
  parsed: ParsedRequest,
  context: RequestContext,
  clock: Clock,
  defaultTimeoutMs: number,
): AdmittedRequest {
  const timeoutMs = context.timeout === undefined ? defaultTimeoutMs : parseTimeout(context.timeout);
  return {
    ...parsed,
    id: makeRequestId(),
    principal: context.principal,
    receivedAt: clock.now(),
    deadlineEpochMs: clock.epochMs() + timeoutMs,
    kin: context.session === undefined || context.session === '' ? parsed.kin : context.session,
    traceparent: isTrace(context.traceparent) ? context.traceparent : undefined,
  };
}

/** W3C Trace Context, 3.2: what does not parse is ignored, and not passed on. */
function isTrace(traceparent: string | undefined): boolean {
  return (
    traceparent !== undefined &&
    /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/.test(traceparent)
  );
}

/** A duration as in the configuration, or a bare number of milliseconds. */
function parseTimeout(text: string): number {
  try {
    const ms = parseDuration(/^\d+$/.test(text.trim()) ? `${text.trim()}ms` : text);
    if (ms >= 1 && ms <= MAX_TIMEOUT_MS) return ms;
  } catch {
    // Not a duration: told below, in the words of an API.
  }
  throw new GatewayError(
    'invalid_request',
    'The header x-sluice-timeout must be a duration such as `30s`, `500ms` or a number of milliseconds.',
    { param: 'x-sluice-timeout' },
  );
}
