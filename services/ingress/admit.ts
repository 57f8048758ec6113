import type { Catalog } from '../../shared/catalog.ts';
import type { Clock } from '../../shared/clock.ts';
import { parseDuration } from '../../shared/config/duration.ts';
import { sketchOf } from '../../shared/dialects/openai-needs.ts';
import type { ParsedRequest } from '../../shared/dialects/openai.ts';
import { GatewayError } from '../../shared/errors.ts';
import { makeRequestId } from '../../shared/ids.ts';
import type { Caller } from './caller.ts';
import { refuseForbiddenNames, withinRegions } from './core/allowed-names.ts';
import { readAttribution } from './core/read-attribution.ts';
import type { RequestHeaders } from './core/read-overrides.ts';
import { readOverrides } from './core/read-overrides.ts';
import type { AdmittedRequest } from './request.ts';

const MAX_TIMEOUT_MS = 24 * 60 * 60 * 1_000;
/** Nearly every chat model takes as many. One that does not says so, and the request goes on elsewhere. */
const SHORT_PROMPT_TOKENS = 4_096;

/** What a request says of itself besides its body. */
export interface RequestContext {
  readonly caller: Caller;
  readonly headers: RequestHeaders;
  /** The named router it came through. */
  readonly via?: string | undefined;
}

export interface AdmitDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
}

/**
 * Yes, or a GatewayError. Every request passes here once, after it was authenticated and parsed: what follows from the
 * request alone. What it may use is `admission.ts`' to say.
 */
export function admit(
  parsed: ParsedRequest,
  { caller: { principal, policy }, headers, via }: RequestContext,
  { catalog, clock, requestTimeoutMs }: AdmitDeps,
): AdmittedRequest {
  const { model, prompt, sluice } = parsed;
  const { overrides: said, lane, timeoutMs } = readOverrides(sluice, headers, principal);
  refuseForbiddenNames(policy, { model, overrides: said }, catalog, via);
  const overrides = withinRegions(policy, said);
  // A name that nobody knows is the router's to refuse.
  const resolution = catalog.resolve(model, { router: via, overrides });
  const isSketched = resolution?.policy.strategy === 'complexity' && prompt !== undefined;
  const isPlain = via === undefined && overrides === undefined && lane === 'interactive' && !isSketched;
  const isLikeOthers = isPlain && parsed.needs.length === 0 && parsed.inputTokens <= SHORT_PROMPT_TOKENS;
  const session = textOf(headers['x-sluice-session']);
  const timeout = textOf(headers['x-sluice-timeout']);
  const traceparent = textOf(headers['traceparent']);
  return {
    ...parsed,
    // Set anew: to leave them out of the copy takes ten times as long as the copy.
    sluice: undefined,
    metadata: undefined,
    prompt: undefined,
    id: makeRequestId(),
    principal,
    attribution: readAttribution(parsed, headers, { principal, policy }),
    receivedAt: clock.now(),
    deadlineEpochMs:
      clock.epochMs() + (timeout === undefined ? (timeoutMs ?? requestTimeoutMs) : parseTimeout(timeout)),
    kin: session === undefined || session === '' ? parsed.kin : session,
    traceparent: isTrace(traceparent) ? traceparent : undefined,
    lane,
    via,
    overrides,
    sketch: isSketched ? sketchOf(prompt) : undefined,
    nameKey: isLikeOthers ? model : undefined,
    servedAs: undefined,
    mustBePriced: false,
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

/** node joins what is sent twice, except for what it keeps as a list: that is nobody's to choose from. */
function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}
