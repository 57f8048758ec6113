import type { ResponseHead } from '../../../shared/messages/attempt.ts';
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
  /** The last one that was asked. */
  readonly deployment: string | undefined;
  readonly attempts: number;
  readonly queueMs: number;
}

/** What every answer says of itself, errors too. */
export function progressHeaders({ requestId, deployment, attempts, queueMs }: Progress): HeaderList {
  const own = {
    'x-request-id': requestId,
    'x-sluice-attempts': String(attempts),
    'x-sluice-queue-ms': String(Math.round(queueMs)),
  };
  return deployment === undefined ? own : { ...own, 'x-sluice-deployment': toHeaderValue(deployment) };
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

/** A header holds printable ASCII, a model's name anything: what goes beyond is percent-encoded. */
function toHeaderValue(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : encodeURI(text);
}
