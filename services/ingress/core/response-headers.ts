import type { ResponseHead } from '../../../shared/messages/attempt.ts';
import type { Placed } from '../../../shared/messages/envelope.ts';
import { formatDollars } from '../../../shared/money.ts';

export type HeaderList = Readonly<Record<string, string>>;

export const STREAM_HEADERS: HeaderList = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // nginx holds streams back otherwise.
  'x-accel-buffering': 'no',
};

/** What happened to a request so far. */
export interface Progress {
  readonly requestId: string;
  /** Where it was last. */
  readonly placed: Placed | undefined;
  readonly attempts: number;
  readonly queueMs: number;
  /** `deployment=code` of the attempts that failed. */
  readonly failures: readonly string[];
  readonly isHedged: boolean;
  /** The route that serves it in place of what it asked for, since a budget is used up. */
  readonly servedAs: string | undefined;
  /** How the caller's limits stand. */
  readonly limits: HeaderList;
}

/** What every answer says of itself, errors too. */
export function progressHeaders(progress: Progress): HeaderList {
  const { requestId, placed, attempts, queueMs, failures, isHedged, servedAs, limits } = progress;
  const headers: Record<string, string> = {
    ...limits,
    'x-request-id': requestId,
    'x-sluice-attempts': String(attempts),
    'x-sluice-queue-ms': String(Math.round(queueMs)),
  };
  if (placed !== undefined) {
    headers['x-sluice-deployment'] = toHeaderValue(placed.deployment);
    headers['x-sluice-reason'] = toHeaderValue(placed.reason);
    if (placed.variant !== undefined) headers['x-sluice-variant'] = toHeaderValue(placed.variant);
  }
  const downgradedTo = placed?.downgradedTo ?? servedAs;
  if (downgradedTo !== undefined) headers['x-sluice-downgraded-to'] = toHeaderValue(downgradedTo);
  if (failures.length > 0) headers['x-sluice-failed'] = toHeaderValue(failures.join(', '));
  if (isHedged) headers['x-sluice-hedged'] = 'true';
  return headers;
}

/** The headers of an answer: the provider's visible ones, then ours. */
export function answerHeaders(head: ResponseHead, isStream: boolean, progress: Progress): HeaderList {
  const cost = head.plain?.end.costNanoUsd ?? null;
  return {
    ...head.headers,
    ...(isStream ? STREAM_HEADERS : { 'content-type': head.contentType }),
    ...progressHeaders(progress),
    ...(cost === null ? {} : { 'x-sluice-cost': formatDollars(cost) }),
  };
}

/** Printable ASCII on one line, which a header and a comment hold, while a model's name is anything: what goes beyond is percent-encoded. */
export function toHeaderValue(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : encodeURI(text);
}
