/**
 * Chat completions as text: the plain object, and the events of a stream.
 * Texts here are "binary strings", one character per byte (UTF-8 already encoded), so that length is bytes and the socket
 * takes them as latin1 without a conversion.
 */
import type { Script, Verdict } from './script.ts';

/** What one chat answer is made from. */
export interface ChatAsk {
  readonly script: Script;
  readonly verdict: Verdict;
  /** JSON text between the quotes, as the client sent it. */
  readonly model: string;
  /** Ten digits, unique: every answer of a kind has the same length. */
  readonly id: string;
  /** Unix seconds, ten digits. */
  readonly created: string;
  readonly promptTokens: number;
  /** Completion tokens of one choice. */
  readonly n: number;
  readonly isShortened: boolean;
  readonly choices: number;
  readonly includeUsage: boolean;
}

/** UTF-8 bytes of a text, one character each. */
export function binary(text: string): string {
  // eslint-disable-next-line no-control-regex -- all of ASCII, control characters too
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** Characters that line-based readers and JSON re-encoders trip over, raw and escaped. */
const ODD_TEXT = binary('\u2028\u0085\u{1f642}\\u2028 ');
const TOKEN = 'token ';

/** The plain content: `n` tokens, padded or cut to `size` bytes when that is set. */
function content(ask: ChatAsk): string {
  const { size } = ask.script;
  let text = TOKEN.repeat(ask.n);
  if (size > 0) text = text.length < size ? text + 'pad '.repeat(Math.ceil((size - text.length) / 4)) : text;
  if (size > 0) text = text.slice(0, size);
  return ask.script.u2028 ? ODD_TEXT + text : text;
}

const LOGPROB = `{"token":"${TOKEN}","logprob":-0.105,"bytes":[116,111,107,101,110,32],"top_logprobs":[]}`;

function logprobs(ask: ChatAsk, tokens: number): string {
  if (!ask.script.logprobs) return 'null';
  return `{"content":[${Array<string>(tokens).fill(LOGPROB).join(',')}],"refusal":null}`;
}

export function finishReason(ask: ChatAsk): string {
  if (ask.verdict === 'nofinish') return 'null';
  if (ask.script.tools) return '"tool_calls"';
  return ask.isShortened ? '"length"' : '"stop"';
}

export function usageJson(promptTokens: number, completionTokens: number): string {
  return (
    `{"prompt_tokens":${promptTokens},"completion_tokens":${completionTokens},"total_tokens":${promptTokens + completionTokens},` +
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,' +
    '"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
  );
}

const TOOL_NAMES = ['get_weather', 'get_time'] as const;

/** Piece `index` of `count` of a tool call's arguments; all pieces together are `{"q":"w1w2…"}`. */
function argumentsPiece(index: number, count: number): string {
  if (count === 1) return '{}';
  if (index === 0) return '{\\"q\\":\\"';
  return index === count - 1 ? '\\"}' : `w${index}`;
}

/** Of `n` interleaved pieces, those of call 0 (even) or 1 (odd). */
const piecesOf = (call: number, n: number): number => (call === 0 ? Math.ceil(n / 2) : Math.floor(n / 2));

function toolCalls(ask: ChatAsk): string {
  return TOOL_NAMES.map((name, call) => {
    const count = piecesOf(call, ask.n);
    const text = Array.from({ length: count }, (_, index) => argumentsPiece(index, count)).join('');
    return `{"id":"call_mock${ask.id}${call}","type":"function","function":{"name":"${name}","arguments":"${text}"}}`;
  }).join(',');
}

function message(ask: ChatAsk): string {
  if (ask.script.tools) return `"content":null,"tool_calls":[${toolCalls(ask)}],"refusal":null,"annotations":[]`;
  if (ask.script.refusal) return `"content":null,"refusal":"${content(ask)}","annotations":[]`;
  return `"content":"${content(ask)}","refusal":null,"annotations":[]`;
}

const ODD_FIELDS =
  '"x_trace_id":9223372036854775807,"x_unknown":{"z":18446744073709551615,"a":[-9007199254740993,1.0,0.10,1e2],"":null},';

/** The chat.completion object. */
export function plainJson(ask: ChatAsk): string {
  const choices = ask.verdict === 'nochoices' ? 0 : ask.choices;
  const list = Array.from(
    { length: choices },
    (_, index) =>
      `{"index":${index},"message":{"role":"assistant",${message(ask)}},"logprobs":${logprobs(ask, ask.n)},"finish_reason":${finishReason(ask)}}`,
  ).join(',');
  const usage = usageJson(ask.promptTokens, ask.n * choices);
  if (ask.script.bigint) {
    return (
      `{"usage":${usage},${ODD_FIELDS}"choices":[${list}],"system_fingerprint":"fp_mock","model":"${ask.model}",` +
      `"id":"chatcmpl-mock${ask.id}","created":${ask.created},"object":"chat.completion"}`
    );
  }
  return (
    `{"id":"chatcmpl-mock${ask.id}","object":"chat.completion","created":${ask.created},"model":"${ask.model}",` +
    `"choices":[${list}],"usage":${usage},"service_tier":"default","system_fingerprint":"fp_mock"}`
  );
}

/** The events of one stream, as SSE text without HTTP chunk framing. */
export class ChatEvents {
  readonly #ask: ChatAsk;
  readonly #head: string;
  readonly #tail: string;
  readonly #data: string;
  readonly #end: string;
  readonly #before: string;
  readonly #padding: string;

  constructor(ask: ChatAsk) {
    const { script } = ask;
    const newline = script.crlf ? '\r\n' : '\n';
    this.#ask = ask;
    this.#data = script.nospace ? 'data:' : 'data: ';
    this.#end = newline + newline;
    this.#before = script.ping ? `: ping${this.#end}` : '';
    this.#head =
      `${this.#data}{${script.bigint ? ODD_FIELDS : ''}"id":"chatcmpl-mock${ask.id}","object":"chat.completion.chunk",` +
      `"created":${ask.created},"model":"${ask.model}","service_tier":"default","system_fingerprint":"fp_mock","choices":[`;
    this.#tail = `]${ask.includeUsage ? ',"usage":null' : ''}}${this.#end}`;
    this.#padding = 'x'.repeat(Math.max(0, script.toksize - TOKEN.length));
  }

  /** true when every token's event is the same text. */
  get isConstant(): boolean {
    const { ts, tools } = this.#ask.script;
    return !ts && !tools;
  }

  #choice(index: number, delta: string, finish = 'null', tokens = 0): string {
    if (this.#ask.verdict === 'nochoices') return this.#head + this.#tail;
    return `${this.#head}{"index":${index},"delta":${delta},"logprobs":${tokens > 0 ? logprobs(this.#ask, tokens) : 'null'},"finish_reason":${finish}}${this.#tail}`;
  }

  #everyChoice(delta: string, finish = 'null', tokens = 0): string {
    let text = '';
    for (let index = 0; index < this.#ask.choices; index++) text += this.#choice(index, delta, finish, tokens);
    return text;
  }

  /** The role chunk; with tools also the start of each call. */
  opening(): string {
    const { tools, refusal } = this.#ask.script;
    if (refusal) return this.#everyChoice('{"role":"assistant","content":null,"refusal":""}');
    if (!tools) return this.#everyChoice('{"role":"assistant","content":"","refusal":null}');
    let text = this.#everyChoice('{"role":"assistant","content":null}');
    for (const [call, name] of TOOL_NAMES.entries()) {
      text += this.#everyChoice(
        `{"tool_calls":[{"index":${call},"id":"call_mock${this.#ask.id}${call}","type":"function","function":{"name":"${name}","arguments":""}}]}`,
      );
    }
    return text;
  }

  /** Token `seq` (from 0), one event per choice; `nowMs` is Unix milliseconds, used when `ts` asks for a stamp. */
  token(seq: number, nowMs: number): string {
    const { ts, tools, refusal, u2028 } = this.#ask.script;
    if (tools) {
      const call = seq % 2;
      const piece = argumentsPiece(Math.floor(seq / 2), piecesOf(call, this.#ask.n));
      return (
        this.#before +
        this.#everyChoice(`{"tool_calls":[{"index":${call},"function":{"arguments":"${piece}"}}]}`, 'null', 1)
      );
    }
    // 16 digits of microseconds and three zeros: nanoseconds as the Go mock writes them, without leaving exact numbers
    let text = ts ? `@${seq}:${Math.round(nowMs * 1000)}000@ ` : TOKEN;
    if (ts) text += 'x'.repeat(Math.max(0, this.#ask.script.toksize - text.length));
    else text += this.#padding;
    if (u2028) text += ODD_TEXT;
    const key = refusal ? 'refusal' : 'content';
    let events = this.#before + this.#choice(0, `{"${key}":"${text}"}`, 'null', 1);
    for (let index = 1; index < this.#ask.choices; index++) {
      events += this.#choice(index, `{"${key}":"${TOKEN}"}`, 'null', 1);
    }
    return events;
  }

  /** The finish chunk, then the usage chunk when it was asked for. */
  closing(tokens: number): string {
    const { verdict, includeUsage, promptTokens } = this.#ask;
    let text = verdict === 'nofinish' ? '' : this.#everyChoice('{}', finishReason(this.#ask));
    if (includeUsage) text += `${this.#head}],"usage":${usageJson(promptTokens, tokens)}}${this.#end}`;
    return text;
  }

  done(): string {
    return `${this.#data}[DONE]${this.#end}`;
  }

  /** An event whose JSON is an error object. */
  error(json: string): string {
    return this.#data + json + this.#end;
  }

  /** An event that is not JSON. */
  malformed(): string {
    return `${this.#data}{"id":"chatcmpl-bad","choi${this.#end}`;
  }

  /** The first half of a token's event. */
  halfToken(seq: number, nowMs: number): string {
    const text = this.token(seq, nowMs);
    return text.slice(0, text.length >> 1);
  }
}
