import { randomBytes } from 'node:crypto';
import { TEST_KEY } from './gateway.ts';
import { until } from './settled.ts';
import { finishesOf, parseSse, textOf } from './sse.ts';
import type { ErrorObject } from './sse.ts';

/** A request that has no end after this has been forgotten by everybody. */
const HUNG_AFTER_MS = 20_000;
/** After a failure, as a client that was told to come back later would. */
const PAUSE_MS = 50;

/**
 * How a request ended for its client.
 * - `served`: a whole, valid answer
 * - `failed`: an error object, or an error event at the end of a stream whose text is a true beginning
 * - `closed`: the connection ended without an answer, or in it
 * - `broken`: anything else, such as a stream that ends early as if it were whole, or that says something twice
 */
export type Ending =
  | { readonly kind: 'served'; readonly inputTokens: number; readonly outputTokens: number }
  | { readonly kind: 'failed'; readonly code: string; readonly hasBegun: boolean }
  | { readonly kind: 'closed'; readonly why: string }
  | { readonly kind: 'hung' }
  | { readonly kind: 'broken'; readonly why: string };

export interface Outcome {
  /** The request's own trace id, which the provider and the ledger see too. */
  readonly trace: string;
  readonly url: string;
  readonly ending: Ending;
  /** By `performance.now()`. */
  readonly beganAtMs: number;
  readonly tookMs: number;
  /** The gateway's id of it; '' when no head of an answer came. */
  readonly requestId: string;
}

export interface LoadOptions {
  /** The ingresses that may be asked, read before each request of a lane. */
  readonly urls: (lane: number) => readonly string[];
  readonly model: string;
  /** Output tokens of each answer, as the provider's script says. */
  readonly tokens: number;
  /** Requests at once; every second one is a stream. */
  readonly lanes?: number;
  /** Count a connection that ended before a byte of an answer as `closed`; only one that nobody accepted has then `moved`. */
  readonly countsResets?: boolean;
}

/** Clients that ask again as soon as they were answered, until `stop()`. */
export class Load {
  readonly outcomes: Outcome[] = [];
  /** Connections that nobody accepted, or that ended before a byte of an answer: a load balancer goes on to the next. */
  moved = 0;
  readonly #options: LoadOptions;
  readonly #lanes: Promise<void>[];
  #isStopping = false;
  readonly #underWay = new Set<Promise<Outcome>>();

  static start(options: LoadOptions): Load {
    return new Load(options);
  }

  private constructor(options: LoadOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.lanes ?? 24 }, (_, lane) => this.#run(lane));
  }

  /** Waits until `count` more requests were served than now. */
  async served(count: number, timeoutMs = 30_000): Promise<void> {
    const from = this.outcomes.length;
    const isEnough = (): boolean => this.outcomes.slice(from).filter(isServed).length >= count;
    await until(isEnough, timeoutMs, () => `${count} more served; ${summary(this.outcomes.slice(from))}`);
  }

  /** Waits until every request that is under way now has ended. */
  async turnover(timeoutMs = 30_000): Promise<void> {
    const now = [...this.#underWay];
    const isOver = (): boolean => !now.some((request) => this.#underWay.has(request));
    await until(isOver, timeoutMs, () => `all of ${now.length} requests end`);
  }

  /** Waits until the last `count` requests to end were all served. */
  async steady(count: number, timeoutMs = 30_000): Promise<void> {
    const from = this.outcomes.length;
    const isSteady = (): boolean => this.outcomes.length - from >= count && this.outcomes.slice(-count).every(isServed);
    await until(isSteady, timeoutMs, () => `${count} served in a row; ${summary(this.outcomes.slice(from))}`);
  }

  /** Asks no more; resolves with everything, once the requests under way have ended. */
  async stop(): Promise<readonly Outcome[]> {
    this.#isStopping = true;
    await Promise.all(this.#lanes);
    return this.outcomes;
  }

  async #run(lane: number): Promise<void> {
    for (let turn = lane; !this.#isStopping; turn++) {
      const urls = this.#options.urls(lane);
      const url = urls[turn % Math.max(1, urls.length)];
      if (url === undefined) {
        await pause();
        continue;
      }
      const asked = ask(url, { ...this.#options, stream: lane % 2 === 0 });
      this.#underWay.add(asked);
      const outcome = await asked;
      this.#underWay.delete(asked);
      if (this.#hasMoved(outcome)) {
        this.moved++;
        continue;
      }
      this.outcomes.push(outcome);
      if (outcome.ending.kind !== 'served') await pause();
    }
  }

  #hasMoved({ ending, requestId }: Outcome): boolean {
    if (ending.kind !== 'closed' || requestId !== '') return false;
    return this.#options.countsResets === true ? ending.why === 'ECONNREFUSED' : isRefusal(ending.why);
  }
}

/** Sends one chat request, reads its answer to the end, and judges it. Never rejects. */
export async function ask(
  url: string,
  { model, tokens, stream }: Pick<LoadOptions, 'model' | 'tokens'> & { readonly stream: boolean },
): Promise<Outcome> {
  const trace = randomBytes(16).toString('hex');
  const beganAt = performance.now();
  const over = (ending: Ending, requestId = ''): Outcome => ({
    ...{ trace, url, ending, beganAtMs: beganAt, requestId },
    tookMs: Math.round(performance.now() - beganAt),
  });
  const messages = [{ role: 'user', content: `This is request ${trace}.` }];
  let requestId = '';
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${TEST_KEY}`,
        'content-type': 'application/json',
        traceparent: `00-${trace}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({ model, messages, stream, ...(stream && { stream_options: { include_usage: true } }) }),
      signal: AbortSignal.timeout(HUNG_AFTER_MS),
    });
    requestId = response.headers.get('x-request-id') ?? '';
    const text = await response.text();
    if (response.status !== 200) return over(judgeError(text), requestId);
    return over(stream ? judgeStream(text, tokens) : judgePlain(text, tokens), requestId);
  } catch (failure) {
    return over(judgeThrown(failure), requestId);
  }
}

/** `12 served, 3 failed (worker_lost 3), 0 hung`. */
export function summary(outcomes: readonly Outcome[]): string {
  const count = (kind: Ending['kind']): number => outcomes.filter(({ ending }) => ending.kind === kind).length;
  const codes = new Map<string, number>();
  for (const { ending } of outcomes) {
    const what = ending.kind === 'failed' ? ending.code : 'why' in ending ? ending.why : undefined;
    if (what !== undefined) codes.set(what, (codes.get(what) ?? 0) + 1);
  }
  const said = codes.size === 0 ? '' : ` (${[...codes].map(([what, times]) => `${what} ${times}`).join(', ')})`;
  const rare = (['closed', 'broken'] as const)
    .filter((kind) => count(kind) > 0)
    .map((kind) => `${count(kind)} ${kind}, `);
  return `${count('served')} served, ${count('failed')} failed cleanly${said}, ${rare.join('')}${count('hung')} hung`;
}

export function isServed({ ending }: Outcome): boolean {
  return ending.kind === 'served';
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

function judgePlain(text: string, tokens: number): Ending {
  const { choices, usage } = JSON.parse(text) as { choices: { message: { content: string } }[]; usage: Usage };
  if (choices[0]?.message.content !== 'token '.repeat(tokens)) return { kind: 'broken', why: 'another text' };
  return { kind: 'served', inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens };
}

function judgeStream(text: string, tokens: number): Ending {
  const { chunks, errors, events, isDone } = parseSse(text);
  const numbers = [...textOf(chunks).matchAll(/@(\d+):/g)].map((match) => Number(match[1]));
  if (!numbers.every((number, index) => number === index)) return { kind: 'broken', why: 'tokens twice or missing' };
  const [error] = errors;
  if (error !== undefined) {
    const isLast = !isDone && errors.length === 1 && events.at(-1)?.startsWith('{"error"') === true;
    return isLast ? judgeErrorObject(error, true) : { kind: 'broken', why: 'something after an error' };
  }
  const usage = chunks.at(-1)?.usage ?? undefined;
  const isWhole = isDone && numbers.length === tokens && finishesOf(chunks).length === 1 && usage !== undefined;
  if (!isWhole) return { kind: 'broken', why: `cut after ${numbers.length} of ${tokens} tokens` };
  if (new Set(chunks.map(({ id }) => id)).size !== 1) return { kind: 'broken', why: 'several ids' };
  return { kind: 'served', inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens };
}

function judgeError(text: string): Ending {
  try {
    return judgeErrorObject((JSON.parse(text) as { error: ErrorObject }).error, false);
  } catch {
    return { kind: 'broken', why: `not an error object: ${text.slice(0, 80)}` };
  }
}

function judgeErrorObject({ message, type, param, code }: ErrorObject, hasBegun: boolean): Ending {
  const isWhole = [message, type, code].every((part) => typeof part === 'string' && part !== '') && param === null;
  return isWhole ? { kind: 'failed', code: code ?? '', hasBegun } : { kind: 'broken', why: 'half an error object' };
}

function judgeThrown(failure: unknown): Ending {
  if (!(failure instanceof Error)) return { kind: 'broken', why: String(failure) };
  if (failure.name === 'TimeoutError') return { kind: 'hung' };
  if (failure instanceof SyntaxError) return { kind: 'broken', why: `not JSON: ${failure.message.slice(0, 80)}` };
  const { cause } = failure;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : failure.message;
  return { kind: 'closed', why: code };
}

function isRefusal(why: string): boolean {
  return ['ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE'].includes(why);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
