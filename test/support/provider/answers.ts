/** Answers that take time or go wrong: everything but the healthy plain answer, which the engine sends itself. */
import type { Connection } from './connection.ts';
import { ChatEvents, binary, plainJson } from './chat.ts';
import type { ChatAsk } from './chat.ts';
import { embeddingsJson } from './embeddings.ts';
import type { Engine } from './engine.ts';
import { errorJson, reasonOf } from './errors.ts';
import { answer, createdNow, extraHeaders, nextId } from './plan.ts';
import type { Plan } from './plan.ts';
import type { ScannedBody } from './scan.ts';
import type { Script, Verdict } from './script.ts';
import { ChatStream, chunk } from './stream.ts';
import { Timeline } from './timeline.ts';
import type { Step } from './timeline.ts';

export interface Request {
  readonly plan: Plan;
  readonly verdict: Verdict;
  readonly kind: 'chat' | 'embeddings';
  /** Valid only until the next request. */
  readonly scanned: ScannedBody;
  readonly promptTokens: number;
  readonly isClosing: boolean;
}

export function streamHead(script: Script, id: string, isClosing: boolean): string {
  return (
    'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n' +
    `${extraHeaders(script, id)}${isClosing ? 'connection: close\r\n' : ''}transfer-encoding: chunked\r\n\r\n`
  );
}

function errorAnswer(script: Script, status: number, isClosing: boolean): string {
  const hasRetryAfter = (status === 429 || status === 503) && script.ra !== '-';
  const headers = (hasRetryAfter ? `retry-after: ${script.ra}\r\n` : '') + extraHeaders(script, nextId());
  return answer(
    `${status} ${reasonOf(status)}`,
    'application/json',
    binary(errorJson(status, script)),
    headers,
    isClosing,
  );
}

function askOf({ plan, verdict, scanned, promptTokens }: Request): ChatAsk {
  const n = plan.tokens(scanned.maxTokens);
  return {
    script: plan.script,
    verdict,
    model: plan.model,
    id: nextId(),
    created: createdNow(),
    promptTokens,
    n,
    isShortened: n < plan.script.n,
    choices: plan.choices(scanned.choices),
    includeUsage: scanned.includeUsage,
  };
}

/** Starts the answer; the connection belongs to it until it ends. */
export function answerSlowly(engine: Engine, connection: Connection, request: Request): void {
  const { plan, verdict, kind, scanned, promptTokens, isClosing } = request;
  const { script } = plan;
  const begin = (steps: readonly Step[], ending: 'finish' | 'end' | 'reset', counted: Partial<Counted> = {}): void => {
    const isFinishing = ending === 'finish' && isClosing ? 'end' : ending;
    new Timeline(engine, connection, plan, steps, isFinishing, { prompt: 0, completion: 0, isCut: false, ...counted });
  };
  const waitMs = script.ttftMs + (script.jitterMs > 0 ? Math.random() * script.jitterMs : 0);

  const status = Number(verdict);
  if (status > 0) return begin([{ afterMs: 0, text: errorAnswer(script, status, isClosing) }], 'finish');
  if (verdict === 'hang') return begin([{ afterMs: script.hangMs, text: '' }], 'end');
  if (verdict === 'close') return begin([], 'end');
  if (verdict === 'reset') return begin([], 'reset');
  if (verdict === 'garbage')
    return begin([{ afterMs: waitMs, text: 'SSH-2.0-OpenSSH_9.2 this is not HTTP\r\n' }], 'end');
  if (verdict === 'html') {
    const page = '<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>\n';
    const text = answer('200 OK', 'text/html; charset=utf-8', page, extraHeaders(script, nextId()), isClosing);
    return begin([{ afterMs: waitMs, text }], 'finish');
  }

  const isStream = kind === 'chat' && (verdict === 'forcestream' || (scanned.stream && verdict !== 'notstream'));
  if (isStream) {
    const ask = askOf(request);
    if (verdict === 'empty') {
      return begin([{ afterMs: waitMs, text: `${streamHead(script, ask.id, isClosing)}0\r\n\r\n` }], 'finish');
    }
    if (verdict === 'trickle') {
      const text = streamHead(script, ask.id, isClosing) + wholeStream(ask);
      return begin(trickle(text, waitMs, script.itlMs), 'finish', {
        prompt: promptTokens,
        completion: ask.n * ask.choices,
      });
    }
    new ChatStream(engine, connection, plan, ask, isClosing, waitMs + (verdict === 'slow' ? script.slowMs : 0));
    return;
  }
  answerPlain(request, waitMs, begin);
}

interface Counted {
  readonly prompt: number;
  readonly completion: number;
  readonly isCut: boolean;
}
type Begin = (steps: readonly Step[], ending: 'finish' | 'end' | 'reset', counted?: Partial<Counted>) => void;

function answerPlain(request: Request, waitMs: number, begin: Begin): void {
  const { plan, verdict, kind, scanned, promptTokens, isClosing } = request;
  const { script } = plan;
  const ask = askOf(request);
  const dims = scanned.dimensions > 0 ? scanned.dimensions : script.dims;
  const body =
    kind === 'chat' ? plainJson(ask) : embeddingsJson(plan.model, scanned.inputs, dims, scanned.isBase64, promptTokens);
  const json = (text: string): string =>
    answer('200 OK', 'application/json', text, extraHeaders(script, ask.id), isClosing);
  const whole = json(body);
  const head = whole.slice(0, whole.length - body.length);
  const half = whole.slice(0, head.length + (body.length >> 1));
  const counted = { prompt: promptTokens, completion: kind === 'chat' ? ask.n * ask.choices : 0 };

  /** One write, then the ending. */
  const once = (text: string, afterMs = waitMs): Step[] => [{ afterMs, text }];
  const thenWait = (text: string, ms: number): Step[] => [...once(text), { afterMs: ms, text: '' }];
  const faults: Partial<Record<Verdict, () => void>> = {
    cut: () => begin(once(half), 'end', { isCut: true }),
    cutreset: () => begin(thenWait(half, 20), 'reset', { isCut: true }),
    bad: () => begin(once(json(MALFORMED)), 'finish'),
    midbad: () => begin(once(json(MALFORMED)), 'finish'),
    cutjson: () => begin(once(json(body.slice(0, body.length >> 1))), 'finish', { isCut: true }),
    empty: () => begin(once(json('')), 'finish'),
    err200: () => begin(once(json(binary(errorJson(500, script)))), 'finish'),
    'role-then-err': () => begin(once(errorAnswer(script, 500, isClosing)), 'finish'),
    'headers-only': () => begin(thenWait(head, script.hangMs), 'end', { isCut: true }),
    stall: () => begin(thenWait(half, script.hangMs), 'end', { isCut: true }),
    slow: () => begin(once(whole, waitMs + script.slowMs), 'finish', counted),
    trickle: () => begin(trickle(whole, waitMs, script.itlMs), 'finish', counted),
  };
  // ok, and verdicts that only a stream can have
  const fault = faults[verdict] ?? (() => begin(once(whole), 'finish', counted));
  fault();
}

const MALFORMED = '{"id":"chatcmpl-bad","object":"chat.completion","choices":[{"index":0,"mess';

function wholeStream(ask: ChatAsk): string {
  const events = new ChatEvents(ask);
  let text = chunk(events.opening());
  for (let seq = 0; seq < ask.n; seq++) text += chunk(events.token(seq, performance.timeOrigin + performance.now()));
  return `${text}${chunk(events.closing(ask.n * ask.choices))}${chunk(events.done())}0\r\n\r\n`;
}

/** Sixteen pieces of about the same size, `gapMs` apart (20 when 0). */
function trickle(text: string, firstMs: number, gapMs: number): Step[] {
  const size = Math.ceil(text.length / 16);
  const steps: Step[] = [];
  for (let at = 0; at < text.length; at += size) {
    steps.push({ afterMs: at === 0 ? firstMs : gapMs || 20, text: text.slice(at, at + size) });
  }
  return steps;
}
